"""The shortlist admits the marks of protected text, which the prepared data hardly has."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tiny import tiny_section

from s2s_cli.text.casing import MARKS as CASE_MARKS
from s2s_cli.text.sentencepieces import train_sentencepiece
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair, mark_name
from s2s_cli.training.exporting import shortlist

MARKS = [mark_name(1), mark_name(2)]


def test_each_mark_is_a_candidate_for_itself(tools, tmp_path: Path):
    pair = TokenizerPair(CharacterTokenizer([*MARKS, *"ab"], MARKS), CharacterTokenizer(["c", *MARKS, "d"], MARKS))
    sides = {"source": (pair.source.encode(["ab"]), pair.source.size)}
    sides["target"] = (pair.target.encode(["cd"]), pair.target.size)
    prepared: Any = SimpleNamespace(tokenizers=pair, train=tools.write_pairs(tmp_path, **sides))
    recipe: Any = SimpleNamespace(model=tiny_section())
    found = shortlist(recipe, prepared)
    assert found is not None
    assert [found["candidates"][mark, 0] for mark in pair.source.marks] == pair.target.marks


def test_marks_of_case_are_in_every_list(tools, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("s2s_cli.training.exporting.FREQUENT", 2)
    lines = ["some words of Nato and others, in no great number"] * 9
    tokenizer = train_sentencepiece(lines, model="bpe", vocabulary=50, character_coverage=1.0, case_markup=True)
    ids = tokenizer.encode(lines), tokenizer.size
    prepared: Any = SimpleNamespace(
        tokenizers=TokenizerPair(tokenizer, tokenizer), train=tools.write_pairs(tmp_path, source=ids, target=ids)
    )
    found = shortlist(SimpleNamespace(model=tiny_section()), prepared)  # type: ignore[arg-type]
    assert found is not None and found["frequent"].dtype == "int32"
    assert set(tokenizer.pieces(found["frequent"].tolist())) >= {*CASE_MARKS}
