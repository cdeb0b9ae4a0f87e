"""Random segmentations of text into the pieces of a SentencePiece model, for subword sampling in training.

SentencePiece draws them too, but from random numbers that differ from process to process whatever the seed, so that no
training could be resumed exactly. No piece reaches over the beginning of a word, so each word is drawn by itself.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from heapq import heappop, heappush
from random import Random
from typing import NamedTuple

from s2s_cli.text.sentencepieces import SentencePieceTokenizer
from s2s_cli.text.tokenizer import WORD_START

_KEPT = 1 << 18  # characters of words whose lattices are kept, of some 340 bytes each; frequent words come first
_LONGEST = 500  # characters of a word: the weights of longer ones could become too large


class Segmenter(ABC):
    """Another segmentation of the same text."""

    def __init__(self, tokenizer: SentencePieceTokenizer, alpha: float) -> None:
        """alpha: how strongly segmentations vary, see the subclasses."""
        scores = tokenizer.scores()
        pieces = tokenizer.pieces(range(tokenizer.size))
        self.alpha = alpha
        self._texts = [piece if index in scores else None for index, piece in enumerate(pieces)]
        self._pieces = {pieces[index]: (index, score) for index, score in scores.items()}

    def segment(self, ids: Sequence[int], seed: int) -> list[int]:
        """Draw by random numbers of this seed. Symbols without text, as unknown ones, stay where they are."""
        random, word, begin, result = Random(seed), "", 0, list[int]()
        for place, index in enumerate(ids):
            text = self._texts[index]
            if word and (text is None or text.startswith(WORD_START)):
                result += self._draw(word, ids[begin:place], random)
                word, begin = "", place
            if text is None:
                result.append(index)
                begin = place + 1
            else:
                word += text
        if word:
            result += self._draw(word, ids[begin:], random)
        return result

    @abstractmethod
    def _draw(self, word: str, best: Sequence[int], random: Random) -> Sequence[int]:
        """Ids of a segmentation of a word, whose best one is given."""


class _Ends(NamedTuple):
    """How a prefix of a word may end.

    sums: of the weights of the choices, each with those before it. choices: the last piece, and its length.
    """

    sums: list[float]
    choices: list[tuple[int, int]]


class UnigramSegmenter(Segmenter):
    """By the probability of a segmentation, Π p(piece), to the power of alpha (Kudo 2018, section 3.3, l = ∞)."""

    def __init__(self, tokenizer: SentencePieceTokenizer, alpha: float) -> None:
        super().__init__(tokenizer, alpha)
        self._scores = tokenizer.scores()
        prefixes = {piece[:end] for piece in self._pieces for end in range(1, len(piece))}
        choices = {
            piece: (math.exp(alpha * score), (index, len(piece))) for piece, (index, score) in self._pieces.items()
        }
        self._choices: dict[str, tuple[float, tuple[int, int]] | None] = dict.fromkeys(prefixes) | choices
        self._lattices = dict[str, list[_Ends]]()
        self._kept = 0  # characters; where there are no spaces, a word is as long as a sentence

    def _draw(self, word: str, best: Sequence[int], random: Random) -> Sequence[int]:
        """Backwards from the end, each piece with the share of the weight that the prefixes ending with it have."""
        if len(word) > _LONGEST:
            return best
        if (lattice := self._lattices.get(word)) is None:
            lattice = self._make_lattice(word, best)
            if self._kept < _KEPT:
                self._lattices[word] = lattice
                self._kept += len(word)
        position, ids = len(word), list[int]()
        while position:
            sums, choices = lattice[position]
            index, length = choices[bisect_right(sums, random.random() * sums[-1], hi=len(sums) - 1)]
            ids.append(index)
            position -= length
        return ids[::-1]

    def _make_lattice(self, word: str, best: Sequence[int]) -> list[_Ends]:
        """For each prefix of the word, how it may end. Weights have a factor for each character, for them not to become
        too small: the best segmentation has the weight 1."""
        scale = math.exp(-self.alpha * sum(self._scores[index] for index in best) / len(word))
        lattice = [_Ends([1.0], [])] + [_Ends([], []) for _ in word]
        for begin in range(len(word)):
            weight = lattice[begin].sums[-1] if lattice[begin].sums else 0.0
            for end in range(begin + 1, len(word) + 1):
                weight *= scale
                found = self._choices.get(word[begin:end], ())
                if found == ():
                    break  # nor does a longer piece begin like this
                if found:
                    sums, choices = lattice[end]
                    sums.append(weight * found[0] + (sums[-1] if sums else 0.0))
                    choices.append(found[1])
        return lattice


class BPESegmenter(Segmenter):
    """By BPE that leaves each merge out with probability alpha (Provilkov et al. 2020), as SentencePiece does: a pair
    that was left out is tried again when one of its sides has grown."""

    def _draw(self, word: str, best: Sequence[int], random: Random) -> Sequence[int]:
        merges = self._merges_before_a_gap(random)
        return best if merges >= len(word) - len(best) else self._merge(word, merges, random)

    def _merges_before_a_gap(self, random: Random) -> int:
        """A draw for many merges: how many are made until one is left out."""
        if self.alpha == 1:
            return 0
        return int(min(math.log(1 - random.random()) / math.log1p(-self.alpha), sys.maxsize))

    def _merge(self, word: str, merges: int, random: Random) -> list[int]:
        """Always the pair with the best score, the first of equal ones."""
        symbols: list[str] = list(word)
        before, after = list(range(-1, len(word) - 1)), list(range(1, len(word) + 1))
        agenda: list[tuple[float, int, int, str]] = []

        def consider(left: int, right: int) -> None:
            if left >= 0 and right < len(symbols) and (piece := symbols[left] + symbols[right]) in self._pieces:
                heappush(agenda, (-self._pieces[piece][1], left, right, piece))

        for left in range(len(word) - 1):
            consider(left, left + 1)
        while agenda:
            _, left, right, piece = heappop(agenda)
            if not symbols[left] or not symbols[right] or symbols[left] + symbols[right] != piece:
                continue  # a side has become part of another piece
            if not merges:
                merges = self._merges_before_a_gap(random)
                continue
            merges -= 1
            symbols[left], symbols[right] = piece, ""
            after[left] = after[right]
            if after[left] < len(word):
                before[after[left]] = left
            consider(before[left], left)
            consider(left, after[left])
        return [self._pieces[symbol][0] for symbol in symbols if symbol]


SEGMENTERS: dict[str, type[Segmenter]] = {"unigram": UnigramSegmenter, "bpe": BPESegmenter}
