from __future__ import annotations

from pathlib import Path

import pytest
from small_corpora import write_corpora


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    """A folder with the corpora of `small_corpora.tiny_recipe`."""
    return write_corpora(tmp_path / "corpora")
