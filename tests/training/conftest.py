"""How the tests of this folder run: one thread, and no clock on the examples of hypothesis."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)
