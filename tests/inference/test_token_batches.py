from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.inference.searching import token_batches

LENGTHS = st.lists(st.integers(0, 40), max_size=60)


@given(LENGTHS, st.integers(1, 200), st.integers(1, 20))
def test_every_line_is_in_one_batch_within_the_budget(lengths: list[int], tokens: int, sentences: int) -> None:
    batches = list(token_batches(lengths, tokens, sentences))
    assert sorted(index for batch in batches for index in batch) == [i for i, length in enumerate(lengths) if length]
    for batch in batches:
        assert len(batch) <= sentences
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= tokens


@given(LENGTHS, st.integers(1, 200))
def test_longest_lines_come_first(lengths: list[int], tokens: int) -> None:
    order = [lengths[index] for batch in token_batches(lengths, tokens, 8) for index in batch]
    assert order == sorted(order, reverse=True)


def test_a_line_beyond_the_budget_stands_alone() -> None:
    assert list(token_batches([3, 100, 3], tokens=10, sentences=8)) == [[1], [0, 2]]
