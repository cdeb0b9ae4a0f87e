"""The measurement of constraints: what it demands, and how it counts what is met."""

from __future__ import annotations

import random

from s2s_cli import Request
from scripts.bench_constraints import fulfilled, phrases_of, stands_in


def test_phrases_stand_in_the_references_and_share_no_word() -> None:
    references = ["A man in a red shirt , talking .", "Dogs .", "."]
    for seed in range(20):
        found = phrases_of(references, random.Random(seed), 3)
        for reference, phrases in zip(references, found, strict=True):
            words = reference.split()
            assert all(stands_in(phrase, reference) for phrase in phrases)
            assert sum(len(phrase.split()) for phrase in phrases) <= sum(word.isalpha() for word in words)
        assert 1 <= len(found[0]) <= 3
        assert found[1:] == [("Dogs",), ()]


def test_each_demand_is_counted() -> None:
    request = Request("x", ("car", "red"), ("man", "US"), "A re")
    assert fulfilled(request, "A red car for us") == [True, True, True, True, True]
    assert fulfilled(request, "The cars of a Man in the US") == [False, False, False, False, False]
