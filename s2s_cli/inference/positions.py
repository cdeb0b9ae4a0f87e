"""Where a place in a text lies in its translation, by the alignment of the words."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from typing import NamedTuple

from s2s_cli.inference.translation import Alignment
from s2s_cli.text.words import UNSPACED

_WORD = re.compile(r"\S+")
_WIDE = r"\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f"  # Chinese characters, kana
WITHOUT_SPACES = re.compile(f"[{UNSPACED}{_WIDE}]")
"""A character of a script without spaces, or a sign as wide as these."""
# Codes stand beside a word, a sign, or a character of a script that has no spaces.
_TOKEN = re.compile(rf"[{_WIDE}]|(?:[^\W{_WIDE}]|(?<=\w)['’](?=\w))+|\S")


class _Word(NamedTuple):
    start: int
    end: int


class Guide:
    """Leads from positions in `source` to positions in `target`. Words are what white space separates, in both texts;
    alignment: pairs of their indices (source, target); those of words that do not exist are overlooked."""

    def __init__(self, source: str, target: str, alignment: Alignment) -> None:
        self.source, self.target = source, target
        self._words = [_Word(*match.span()) for match in _WORD.finditer(source)]
        self._target_words = [_Word(*match.span()) for match in _WORD.finditer(target)]
        self._starts = [word.start for word in self._words]
        self._ends = [word.end for word in self._words]
        self._tokens = [match.span() for match in _TOKEN.finditer(target)]
        self._boundaries = sorted({0, len(target), *(at for span in self._tokens for at in span)})
        self._aligned: dict[int, list[_Word]] = {}
        says_nothing = WITHOUT_SPACES.search(source) or WITHOUT_SPACES.search(target)  # a word there is a whole clause
        for word, other in () if says_nothing else alignment:
            if other < len(self._target_words):
                self._aligned.setdefault(word, []).append(self._target_words[other])

    def around(self, start: int, end: int) -> tuple[int, int]:
        """From where to where the translation of the source from `start` to `end` goes."""
        words = range(bisect_right(self._ends, start), bisect_left(self._starts, end))
        found = [each for word in words for each in self._aligned.get(word, ())]
        if not found:
            first, last = self._proportional(start), self._proportional(end)
            is_empty = self.source[start:end].strip() and not self.target[first:last].strip()
            return self._nearest((start + end) / 2) if is_empty and self._tokens else (first, last)
        first, last = min(word.start for word in found), max(word.end for word in found)
        begin, finish = self._words[words[0]].start, self._words[words[-1]].end
        share = (last - first) / (finish - begin)  # a part of a word has its share of the translation
        prefix, suffix = self.source[begin:start], self.source[end:finish]
        inside = self.source[start:end].strip()
        after, before = first, last
        if prefix and self._stands_at(first, prefix):
            after = first + len(prefix)
        elif self._is_inside(start):
            after = self._boundary(first + round((start - begin) * share))
        elif inside[:1].isalnum():
            after = self._after_signs(first, last)
        if suffix and self._stands_before(last, suffix):
            before = last - len(suffix)
        elif self._is_inside(end):
            before = self._boundary(first + round((end - begin) * share))
        elif inside[-1:].isalnum():
            before = self._before_signs(first, last)
        return after, max(after, before)

    def beside(self, at: int, *, leads: bool) -> int:
        """Where what stands in the source at this position goes: after what stands before it, or, if it `leads`, before
        what follows it."""
        after = self.source[at : at + 1]
        if not at or not after:
            return len(self.target) if at else 0
        leads = leads and self.source[at - 1].isspace()
        if not leads and self.source[at - 1].isspace():
            at -= 1
        previous, following = bisect_left(self._starts, at) - 1, bisect_right(self._ends, at)
        if not leads and (words := self._aligned.get(previous)):
            return self._after(at, self._words[previous], max(words, key=lambda word: word.end))
        if words := self._aligned.get(following):
            first = min(words)
            return self._after_signs(*first) if after.isalnum() else first.start
        if words := self._aligned.get(previous):
            return max(word.end for word in words)
        return self._proportional(at)

    def _after(self, at: int, word: _Word, other: _Word) -> int:
        """The place in or after a word of the target, for what stands in or after the word of the source."""
        prefix, suffix = self.source[word.start : at], self.source[at : word.end]
        if suffix and self._stands_before(other.end, suffix):
            return other.end - len(suffix)
        if suffix and self._stands_at(other.start, prefix):
            return other.start + len(prefix)
        return self._before_signs(*other) if prefix[-1:].isalnum() else other.end

    def _stands_at(self, at: int, text: str) -> bool:
        """Whether the target goes on with this text there."""
        return self.target[at : at + len(text)].lower() == text.lower()

    def _stands_before(self, at: int, text: str) -> bool:
        """Whether this text stands before that position in the target."""
        return self.target[max(0, at - len(text)) : at].lower() == text.lower()

    def _is_inside(self, at: int) -> bool:
        """Whether the position is between two letters."""
        return self.source[at - 1 : at].isalnum() and self.source[at : at + 1].isalnum()

    def _before_signs(self, start: int, end: int) -> int:
        """`end`, or the position before the signs that end this part of the target."""
        at = end
        while at > start and not self.target[at - 1].isalnum():
            at -= 1
        return at if at > start else end

    def _after_signs(self, start: int, end: int) -> int:
        """`start`, or the position after the signs that begin this part of the target."""
        at = start
        while at < end and not self.target[at].isalnum():
            at += 1
        return at if at < end else start

    def _proportional(self, at: int) -> int:
        return self._boundary(round(at * len(self.target) / max(1, len(self.source))))

    def _nearest(self, at: float) -> tuple[int, int]:
        """The word or sign at the proportional place: no pair is left without what stands in it."""
        wanted = at * len(self.target) / len(self.source)
        return min(self._tokens, key=lambda span: abs((span[0] + span[1]) / 2 - wanted))

    def _boundary(self, at: int) -> int:
        """The nearest position beside a word."""
        index = bisect_left(self._boundaries, at)
        return min(self._boundaries[max(0, index - 1) : index + 1], key=lambda boundary: abs(boundary - at))
