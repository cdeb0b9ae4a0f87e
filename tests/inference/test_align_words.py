from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.inference.writing import align_words


def test_attention_is_summed_over_the_pieces_of_both_words() -> None:
    # Source words: 0 = two pieces, 1 = one piece. The one target word has two pieces.
    attention_TS = np.array([[0.3, 0.1, 0.6, 0.0], [0.4, 0.3, 0.2, 0.1]], dtype=np.float32)
    assert align_words(attention_TS, [0, 0, 1], [0, 0]) == [
        (0, 0)
    ]  # 1.1 against 0.8, though piece 2 is largest in row 0


def test_words_may_be_reordered_and_shared() -> None:
    attention_TS = np.array([[0.1, 0.8, 0.1], [0.7, 0.2, 0.1], [0.6, 0.3, 0.1]])
    assert align_words(attention_TS, [0, 1], [0, 1, 2]) == [(1, 0), (0, 1), (0, 2)]


def test_end_of_sentence_and_padding_are_left_out() -> None:
    attention_TS = np.array([[0.05, 0.15, 0.5, 0.3]])  # most of it on the end of the sentence
    assert align_words(attention_TS, [0, 1], [0]) == [(1, 0)]


def test_nothing_to_align() -> None:
    assert align_words(np.zeros((0, 3)), [0, 1], []) == []
    assert align_words(np.zeros((2, 1)), [], [0, 1]) == []


def words(sizes: list[int]) -> list[int]:
    return [word for word, size in enumerate(sizes) for _ in range(size)]


SIZES = st.lists(st.integers(1, 3), min_size=1, max_size=6)


@given(SIZES, SIZES, st.integers(0, 2**32 - 1))
def test_every_target_word_has_one_link_to_its_best_source_word(
    source_sizes: list[int], target_sizes: list[int], seed: int
) -> None:
    source, target = words(source_sizes), words(target_sizes)
    attention_TS = np.random.default_rng(seed).dirichlet(np.ones(len(source) + 1), size=len(target))
    links = align_words(attention_TS, source, target)
    assert [link[1] for link in links] == list(range(len(target_sizes)))
    for best, word in links:
        masses = [
            sum(
                attention_TS[t, s]
                for t in range(len(target))
                for s in range(len(source))
                if (source[s], target[t]) == pair
            )
            for pair in ((candidate, word) for candidate in range(len(source_sizes)))
        ]
        assert masses[best] >= max(masses) - 1e-9
