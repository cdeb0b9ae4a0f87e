from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_corpora import tiny_recipe, write_corpora

from s2s_cli import processes
from s2s_cli.data.preparation import prepare


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred pairs are not worth worker processes; who tests these asks for more cores."""
    monkeypatch.setattr(processes, "usable_cores", lambda: 1)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The corpora of `small_corpora.tiny_recipe`, and beside them in `run` what it prepares of them."""
    folder = tmp_path_factory.mktemp("small")
    write_corpora(folder / "corpora")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "usable_cores", lambda: 1)
        prepare(tiny_recipe(), folder / "corpora", folder / "run")
    return folder


@pytest.fixture
def corpora(written: Path, tmp_path: Path) -> Path:
    """A folder with the corpora, for the test to change."""
    return shutil.copytree(written / "corpora", tmp_path / "corpora")


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Path:
    """A run in which they are prepared."""
    return shutil.copytree(written / "run", tmp_path / "run")
