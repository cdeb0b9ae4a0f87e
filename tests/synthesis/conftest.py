"""A recipe of which one corpus is written by a tiny model, in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s2s_cli import processes
from s2s_cli.recipe.schema import Recipe
from s2s_cli.synthesis import corpora
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

LETTERS = CharacterTokenizer("▁abcdefghijklmnopqrstuvwxyz.")
LINES = ["the cat sat", "", "a b c. d e f. g", *(f"{'ab ' * (i % 7)}{chr(97 + i % 26)}" for i in range(40)), "x" * 90]

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def folder(tmp_path: Path, tools, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With `mono.en`, a model from English into French in `back`, one in the other direction in `on`, and a corpus."""
    pair = TokenizerPair(LETTERS, LETTERS)
    tools.export(tmp_path / "back" / "model", ("en", "fr"), pair, seed=1)
    tools.export(tmp_path / "on" / "model", ("fr", "en"), pair, seed=2)
    (tmp_path / "mono.en").write_text("".join(f"{line}\n" for line in LINES))
    pairs = [(f"un {letter}", f"one {letter}") for letter in "abcdefghijklmnop"]
    (tmp_path / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    monkeypatch.setattr(corpora, "apart", lambda work, fresh: work())  # a new Python takes seconds to start
    monkeypatch.setattr(processes, "usable_cores", lambda: 1)  # a few pairs are not worth worker processes
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return tmp_path


@pytest.fixture
def recipe() -> MakeRecipe:
    """Makes the recipe; the arguments are keys of its written corpus."""

    def make(**keys: Any) -> Recipe:
        written = {"mono": "mono.en", "side": "target", "by": "back", "beam": 1} | keys
        values = {
            "name": "tiny",
            "languages": {"source": "fr", "target": "en"},
            "data": {
                "train": [{"tsv": "pairs.tsv"}, {key: value for key, value in written.items() if value is not None}],
                "dev": [{"tsv": "pairs.tsv"}],
                "cleaning": {"drop_overlap": False, "max_length_ratio": None},
            },
            "tokenizer": {"kind": "character", "vocabulary": 60},
            "training": {"threads": 1},
        }
        return Recipe.read(values)

    return make
