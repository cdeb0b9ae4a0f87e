from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.inference.translation import Candidate, Translation, pharaoh

LINES = st.text(alphabet=st.characters(exclude_categories=["Cs"]))


def candidate(text: str, score: float = -0.5) -> Candidate:
    return Candidate(text=text, score=score, tokens=text.split(), alignment=[(0, 0), (2, 1)])


def test_pharaoh_pairs_are_source_then_target() -> None:
    assert pharaoh([(0, 0), (2, 1)]) == "0-0 2-1"
    assert pharaoh([]) == ""


def test_the_best_candidate_is_the_translation() -> None:
    candidates = [candidate("a b"), candidate("c d", -0.9)]
    translation = Translation("x y z", candidates, ["x", "y", "z"])
    assert (translation.text, translation.score, translation.tokens) == ("a b", -0.5, ["a", "b"])
    assert translation.alignment == [(0, 0), (2, 1)]
    assert translation.finished and not translation.truncated
    assert translation.n_best == candidates


def test_json_form() -> None:
    translation = Translation("été", [candidate("summer")], ["é", "té"])
    assert json.loads(translation.to_json(7)) == {
        "line": 7,
        "source": "été",
        "translation": "summer",
        "score": -0.5,
        "confidence": None,
        "word_confidence": [],
        "omissions": [],
        "repetitions": [],
        "tokens": ["summer"],
        "source_tokens": ["é", "té"],
        "alignment": [[0, 0], [2, 1]],
        "finished": True,
        "truncated": False,
    }
    assert "été" in translation.to_json(7)  # readable, not escaped


def test_json_lists_the_candidates_where_there_are_several() -> None:
    translation = Translation("x", [candidate("a"), candidate("b", -1.0)], ["x"])
    record = json.loads(translation.to_json(0))
    assert [(each["translation"], each["score"]) for each in record["n_best"]] == [("a", -0.5), ("b", -1.0)]


@pytest.mark.parametrize("score", [float("-inf"), float("nan")])
def test_json_has_no_number_that_is_none(score: float) -> None:
    translation = Translation("x", [candidate("a", score)], ["x"])
    assert json.loads(translation.to_json(0), parse_constant=pytest.fail)["score"] is None


@given(LINES, LINES)
def test_json_is_one_line_for_every_reader(source: str, text: str) -> None:
    line = Translation(source, [candidate(text)]).to_json(0)
    assert len(line.splitlines()) == 1
    record = json.loads(line)
    assert (record["source"], record["translation"]) == (source, text)
