"""How a translation is to begin, from text to symbols: which of them may follow, one after the other."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from s2s_cli.inference.vocabulary import Vocabulary
from s2s_cli.search.guidance import Opening
from s2s_cli.text.casing import CAPITALS, TITLE, after_letters, begun
from s2s_cli.text.tokenizer import EOS, WORD_START

OPEN_PIECES = 4  # at the end of a prefix, which may be cut in another way
CACHED = 1024


@dataclass(frozen=True)
class Prefixes:
    """Makes states of prefixes."""

    vocabulary: Vocabulary

    def opening(self, prefix: str) -> Opening:
        """The words of the prefix as they are always cut. The last one may be cut in any way, for it may go on; after a
        space, another word begins."""
        tokenizer, signs = self.vocabulary.tokenizer, None
        ids = self.vocabulary.ids(prefix.rstrip(), "prefix")
        if tokenizer.case_markup and not prefix.endswith(" "):  # the mark of its last word comes where that ends
            marked, signs = begun(prefix)
            ids = tokenizer.encode_piece(WORD_START + marked.replace(" ", WORD_START))
        texts = [self._texts[index] for index in ids]
        begin, rest = len(ids), ""
        if not prefix.endswith(" "):
            begin = max(0, len(ids) - OPEN_PIECES, *(i for i, text in enumerate(texts) if text.startswith(WORD_START)))
            rest = "".join(texts[begin:])
        elif self.vocabulary.has_spaces:
            rest = WORD_START
        fixed = [(np.array([index]), np.array([place])) for place, index in enumerate(ids[:begin], start=1)]
        free = self._rests(rest, prefix.endswith(" "), signs) if rest else []
        moved = [(symbols_N, following_N + begin) for symbols_N, following_N in free]
        admitted = (*ids, *(tokenizer.case_marks if signs else ()))
        return Opening((*fixed, *moved), admitted, begin + len(rest) + 1 + (OPEN_PIECES if signs else 0))

    def _rests(self, rest: str, is_space: bool, signs: str | None) -> list[tuple[np.ndarray, np.ndarray]]:
        """States in which less and less of a text is left: any symbols that begin with it, or that it begins with. With
        case markup, states follow in which its last word goes on: see `_ends`."""
        choices: dict[int, tuple[np.ndarray, list[int], list[int]]] = {}  # of places in the rest
        index_of, end = self._index_of, len(rest)
        for place in range(end - 1, -1, -1):
            left = rest[place:]
            whole_N = self._beginning(left)
            if is_space:
                whole_N = whole_N[whole_N != index_of.get(left, -1)]
            elif signs is not None:
                found = [after_letters(self._texts[index][len(left) :]) for index in whole_N.tolist()]
                whole_N = whole_N[[not sign or _agrees(sign, signs) for sign in found]]
            cuts = [cut for cut in range(place + 1, end) if cut in choices and rest[place:cut] in index_of]
            if len(whole_N) or cuts:
                choices[place] = whole_N, [index_of[rest[place:cut]] for cut in cuts], cuts
        if is_space and 0 not in choices:  # only characters: a space, then any other
            others_N = np.array(sorted(index for text, index in self._sorted if not text.startswith(WORD_START)))
            choices, end = {0: (np.zeros(0, np.int64), [index_of[WORD_START]], [1]), 1: (others_N, [], [])}, 2
        number = {place: state for state, place in enumerate(sorted(choices))}
        ends = self._ends(signs, len(choices))
        states = []
        for place, (whole_N, parts, cuts) in sorted(choices.items()):
            symbols_N, following_N = whole_N, np.full(len(whole_N), len(choices) + len(ends))
            if ends:
                goes_on_N = [not after_letters(self._texts[index][end - place :]) for index in whole_N.tolist()]
                following_N[goes_on_N] = len(choices)
            if parts:
                symbols_N = np.concatenate([symbols_N, parts])
                following_N = np.concatenate([following_N, [number[cut] for cut in cuts]])
                order_N = symbols_N.argsort()
                symbols_N, following_N = symbols_N[order_N], following_N[order_N]
            states.append((symbols_N, following_N))
        return [*states, *ends]

    def _ends(self, signs: str | None, first: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """States, from the `first` on, in which letters go on until one of the marks makes them what a prefix begins
        with, or until anything but a mark follows them. A mark comes after a few pieces, for it to come at all."""
        if signs is None:
            return []
        letters_N, closing_N = self._letters_N, np.flatnonzero([_agrees(sign, signs) for sign in self._signs])
        order_N = np.concatenate([letters_N, closing_N]).argsort()
        count, symbols_N = OPEN_PIECES if signs else 1, np.concatenate([letters_N, closing_N])[order_N]
        states = []
        for state in range(first, first + count):
            on = state + 1 if signs else state
            following_N = np.repeat([on, first + count], [len(letters_N), len(closing_N)])[order_N]
            states.append((symbols_N, following_N))
        return [*states[:-1], (closing_N, np.full(len(closing_N), first + count))] if signs else states

    @property
    def _texts(self) -> list[str]:
        return self.vocabulary.texts

    @cached_property
    def _letters_N(self) -> np.ndarray:
        """The symbols that are letters only, of which a mark of case may follow."""
        return np.array([index for text, index in self._sorted if not after_letters(text)])

    @cached_property
    def _signs(self) -> list[str]:
        """What follows the letters with which each symbol begins, if there is something; what is no text ends them."""
        signs = [after_letters(text) if text else " " for text in self._texts]
        return [*[""] * EOS, *signs[EOS:]]  # what is never written ends nothing

    @cached_property
    def _beginning(self) -> Callable[[str], np.ndarray]:
        """The symbols whose text begins so, rising."""
        ids_N = np.array([index for _, index in self._sorted])

        @lru_cache(CACHED)
        def beginning(text: str) -> np.ndarray:
            begin, end = (bisect_left(self._sorted, (bound, -1)) for bound in (text, text + chr(sys.maxunicode)))
            return np.sort(ids_N[begin:end])

        return beginning

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return dict(self._sorted)

    @cached_property
    def _sorted(self) -> list[tuple[str, int]]:
        return sorted((text, index) for index, text in enumerate(self._texts) if text)


def _agrees(sign: str, signs: str) -> bool:
    """Whether a character after letters makes them what these marks make of them."""
    return bool(sign) and (sign in signs if signs else sign not in TITLE + CAPITALS)
