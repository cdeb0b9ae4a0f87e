"""A translator that writes gibberish, so that what is demanded of it hardly ever comes by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from copy_model import CopyModel

from s2s_cli.inference.dividing import Division
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.sentencepieces import SentencePieceTokenizer, train_sentencepiece
from s2s_cli.text.symbols import CharacterTokenizer, WordTokenizer
from s2s_cli.text.tokenizer import EOS, UNK, Tokenizer, TokenizerPair

BEAM = SearchOptions(beam=4, max_length_ratio=1.0, max_length_offset=5)
WORDS = "the man men a car cars red reddish is driving drives caravan an Anna us US - , .".split()


def text_of(seed: int, count: int = 400) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(1, 9))) for _ in range(count)]


@cache
def subwords() -> SentencePieceTokenizer:
    return train_sentencepiece(text_of(1), model="unigram", vocabulary=60, character_coverage=1.0)


@cache
def cased() -> SentencePieceTokenizer:
    """With case markup: nearly all that is written has marks in the wrong places."""
    lines = [line.replace("man", "Man").replace("reddish", "McRed") for line in text_of(1)]
    return train_sentencepiece(lines, model="bpe", vocabulary=60, character_coverage=1.0, case_markup=True)


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "subwords": subwords,
    "cased": cased,
    "words": lambda: WordTokenizer(WORDS),
    "characters": lambda: CharacterTokenizer("▁" + "".join(sorted({*"".join(WORDS)}))),
}


class RandomModel(CopyModel):
    """Writes gibberish: what it writes next depends on the last symbol and on the length."""

    def __init__(self, vocabulary: int, seed: int = 1) -> None:
        super().__init__(vocabulary)
        self.table = np.random.default_rng(seed).normal(scale=2.0, size=(vocabulary, vocabulary)).astype(np.float32)

    def start(self, source_BS, source_lengths_B, admitted=()):
        return super().start(np.where(source_BS == UNK, EOS + 1, source_BS), source_lengths_B, admitted)

    def step(self, previous_BK, state):
        step, state = super().step(previous_BK, state)
        logits_BKV = self.table[(previous_BK + state.position) % self.vocabulary]
        log_probs_BKV = logits_BKV - np.log(np.exp(logits_BKV).sum(axis=2, keepdims=True))
        return replace(step, log_probs_BKV=log_probs_BKV), state


@cache
def gibberish(kind: str, language: str = "", workers: int = 1) -> Translator:
    tokenizer = TOKENIZERS[kind]()
    return Translator(
        RandomModel(tokenizer.size),
        TokenizerPair(tokenizer, tokenizer),
        options=BEAM,
        division=Division(target=language, max_pieces=30),
        workers=workers,
    )


def times(phrase: str, text: str) -> int:
    """As whole words, without overlaps."""
    place, found = 0, 0
    while match := re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)").search(text, place):
        place, found = match.end(), found + 1
    return found
