"""The shortlist admits the marks of protected text, which the prepared data hardly has."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from tiny import tiny_section

from s2s_cli.data.shards import ParallelData, ShardWriter
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair, mark_name
from s2s_cli.training.exporting import shortlist

MARKS = [mark_name(1), mark_name(2)]


def test_each_mark_is_a_candidate_for_itself(tmp_path: Path):
    pair = TokenizerPair(CharacterTokenizer([*MARKS, *"ab"], MARKS), CharacterTokenizer(["c", *MARKS, "d"], MARKS))
    for name, tokenizer, text in (("source", pair.source, "ab"), ("target", pair.target, "cd")):
        with ShardWriter(tmp_path / name, tokenizer.size) as writer:
            writer.write(np.array(tokenizer.encode([text])[0]), np.array([2]))
    prepared: Any = SimpleNamespace(tokenizers=pair, train=ParallelData.open(tmp_path))
    recipe: Any = SimpleNamespace(model=tiny_section())
    found = shortlist(recipe, prepared)
    assert found is not None
    assert [found["candidates"][mark, 0] for mark in pair.source.marks] == pair.target.marks
