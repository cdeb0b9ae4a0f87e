"""Tiny models of two pairs, a server of both, and what they translate by themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent.parent / "end_to_end"))  # of `starts`

from serving_process import PAIR, Server

from s2s_cli import Translator


@pytest.fixture(scope="session")
def models(tools, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("served")
    return [
        tools.export(folder / "de-en", ("de", "en"), PAIR, seed=1, packed=True),
        tools.export(folder / "en-de", ("en", "de"), PAIR, seed=2, packed=True),
    ]


@pytest.fixture(scope="session")
def german(models: list[Path]) -> Translator:
    """From German into English."""
    return Translator.load(models[0], device="cpu", threads=1)


@pytest.fixture(scope="session")
def english(models: list[Path]) -> Translator:
    """From English into German."""
    return Translator.load(models[1], device="cpu", threads=1)


@pytest.fixture(scope="module")
def server(models: list[Path]) -> Iterator[Server]:
    with Server(models=models) as running:
        yield running
