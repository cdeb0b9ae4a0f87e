from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli import __version__
from s2s_cli.evaluation.breakdown import score_by_length
from s2s_cli.evaluation.metrics import score
from s2s_cli.evaluation.significance import paired_bootstrap

METRICS = ["accuracy", "character_accuracy"]
LINES = st.lists(st.text("aáb ", min_size=1, max_size=6).map(lambda line: line.strip() or "a"), min_size=1, max_size=8)


def values(hypotheses: list[str], *references: list[str]) -> list[float]:
    return [found.value for found in score(hypotheses, references, METRICS, "en")]


@given(LINES, st.randoms(use_true_random=False))
def test_both_are_shares_counted_by_hand(references, randomness):
    hypotheses = [randomness.choice([line, line[:-1] + "x", line[1:], line + "b"]) for line in references]
    right_lines = sum(a == b for a, b in zip(hypotheses, references, strict=True))
    right = sum(
        place < len(ours) and ours[place] == character
        for ours, line in zip(hypotheses, references, strict=True)
        for place, character in enumerate(line)
    )
    expected = [100 * right_lines / len(references), 100 * right / sum(map(len, references))]
    assert values(hypotheses, references) == pytest.approx(expected)


def test_characters_count_where_they_stand():
    assert values(["cafe", "año"], ["café", "año"]) == pytest.approx([50.0, 100 * 6 / 7])
    assert values(["xaño"], ["año"]) == [0.0, 0.0]
    assert values(["año!"], ["año"]) == [0.0, 100.0]
    assert values([""], ["año"]) == [0.0, 0.0]


def test_of_several_references_the_best_counts():
    assert values(["b", "aa"], ["a", "ab"], ["b", "aa"]) == [100.0, 100.0]
    assert values(["aab"], ["abc"], ["aaab"]) == [0.0, 50.0]


def test_the_order_of_the_references_changes_nothing_and_an_empty_one_can_fit():
    hypotheses, one, other = ["ab", "", "zz"], ["ab", "xyz", "abc"], ["ab", "", "abcdefgh"]
    expected = pytest.approx([100 * 2 / 3, 100 * 2 / 5])
    assert values(hypotheses, one, other) == expected
    assert values(hypotheses, other, one) == expected


@pytest.mark.parametrize("order", [1, -1])
def test_an_empty_reference_makes_no_wrong_answer_count_for_nothing(order: int):
    references = [["ab", "abc"], ["", "abc"]][::order]
    assert values(["x", "abc"], *references) == pytest.approx([100 * 1 / 2, 100 * 3 / 5])


def test_signatures_name_unit_and_program():
    accuracy, characters = score(["a"], [["a"], ["b"]], METRICS, "en")
    assert (accuracy.name, accuracy.signature) == (
        "accuracy",
        f"nrefs:2|case:mixed|unit:line|version:s2s-{__version__}",
    )
    assert (characters.name, characters.details) == ("character accuracy", "")
    assert "unit:character" in characters.signature


@pytest.mark.parametrize("metric", METRICS)
def test_they_resample_and_compare_as_sacrebleus_do(metric):
    right, wrong, references = ["ab"] * 40, ["ab"] * 20 + ["ba"] * 20, [["ab"] * 40]
    (bucket,) = score_by_length(wrong, references, [2] * 40, edges=[5], metric=metric, language="en", resamples=200)
    assert bucket.value == 50.0
    assert 0.0 < bucket.margin < 30.0
    (found,) = paired_bootstrap(wrong, right, references, metrics=[metric], language="en", resamples=200)
    assert (found.baseline, found.system) == (50.0, 100.0)
    assert found.p_value < 0.05
