"""The lexicon finds what stands for what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from s2s_cli.data import lexicon as module
from s2s_cli.data.lexicon import Lexicon, frequent_targets
from s2s_cli.text.tokenizer import EOS

FIRST, WORDS = 4, 30  # source word w is translated by WORD + w


@dataclass
class Corpus:
    """Sentences of five words in random order, each target with the article 4, which no source word is the cause of."""

    pairs: int = 400

    def __post_init__(self) -> None:
        draw = np.random.default_rng(1)
        self._sources = [FIRST + draw.choice(WORDS, 5, replace=False) for _ in range(self.pairs)]
        self.source_lengths, self.target_lengths = np.full(self.pairs, 5), np.full(self.pairs, 6)

    def __len__(self) -> int:
        return self.pairs

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        source = self._sources[index].astype(np.uint16)
        return source, np.append(source[::-1] + 1, [4]).astype(np.uint16)


SIZE = FIRST + WORDS + 5


def test_the_best_candidate_of_a_word_is_its_translation() -> None:
    table = Lexicon.of(Corpus(), SIZE).best(SIZE, 3)
    assert table.shape == (SIZE, 3) and table.dtype == np.int32
    for word in range(FIRST, FIRST + WORDS):
        assert table[word, 0] == word + 1
    assert table[EOS, 0] == 4
    assert (table[0] == EOS).all()  # a symbol that never comes


def test_long_corpora_are_sampled_from_all_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LINKS", 4000)
    corpus = Corpus()
    seen: list[int] = []
    pair = corpus.pair
    monkeypatch.setattr(corpus, "pair", lambda index: (seen.append(index), pair(index))[1])
    Lexicon.of(corpus, SIZE)
    assert len(seen) * 36 <= 4000 < (len(seen) + 40) * 36
    assert max(seen) > 0.95 * len(corpus)


def test_frequent_targets_come_in_their_order() -> None:
    assert frequent_targets(Corpus(), SIZE, 1).tolist() == [4]
    assert len(frequent_targets(Corpus(), SIZE, 10)) == 10
