from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli import __version__
from s2s_cli.errors import UsageError
from s2s_cli.evaluation.metrics import build_metric, score
from s2s_cli.evaluation.significance import paired_bootstrap

NAMES = ["distinct-1", "distinct-2"]
WORDS = st.lists(st.sampled_from("abcd"), max_size=6)


def values(lines: list[str], language: str = "en") -> list[float]:
    return [found.value for found in score(lines, [lines], NAMES, language)]


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_both_are_counted_by_hand(sentences):
    total = sum(map(len, sentences))
    words = {word for sentence in sentences for word in sentence}
    pairs = {(a, b) for sentence in sentences for a, b in pairwise(sentence)}
    expected = [100 * len(found) / total if total else 0.0 for found in (words, pairs)]
    assert values([" ".join(sentence) for sentence in sentences]) == pytest.approx(expected)


def test_words_are_those_of_bleu():
    assert values(["I do. I do!"]) == pytest.approx([100 * 4 / 6, 100 * 4 / 6])  # I do . !, I-do do-. .-I do-!
    assert values(["你好你好"], "zh") == pytest.approx([50.0, 50.0])


def test_references_play_no_part_and_the_signature_says_what_is_counted():
    one, other = (score(["a b", "a"], [lines], NAMES, "en") for lines in (["a b", "a"], ["", "c d e"]))
    assert one == other
    assert (one[0].name, one[1].name) == tuple(NAMES)
    assert one[0].signature == f"case:mixed|tok:13a|per:word|version:s2s-{__version__}"


def test_there_are_no_resamples():
    with pytest.raises(UsageError, match="resamples repeat lines"):
        build_metric("distinct-2", "en").corpus_score(["a"], [["a"]], n_bootstrap=10)
    with pytest.raises(UsageError, match="leave --distinct out"):
        paired_bootstrap(["a"], ["b"], [["a"]], metrics=["chrf", "distinct-1"], language="en", resamples=10)
