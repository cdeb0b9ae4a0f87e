"""Cleaning of training pairs: pure rules, each with the name under which it is counted.

A rule says whether a pair is to be dropped. Pairs are dropped whole, so the sides never shift against each other.
Rules on text see clean lines before there is a tokenizer, rules on lengths see numbers of pieces. Repetitions, which
depend on other pairs, are found in `s2s_cli.data.repetitions`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from s2s_cli.recipe import schema
from s2s_cli.text.scripts import script_of, script_share

TextRule = Callable[[str, str], bool]
LengthRule = Callable[[np.ndarray, np.ndarray], np.ndarray]

SHORT = 10
"""Pairs whose longest side has fewer pieces are exempt from the rule on the ratio of lengths."""


def text_rules(
    config: schema.Cleaning, languages: schema.Languages, overlap: Overlap, excluded: Excluded
) -> dict[str, TextRule]:
    """Rules on clean lines by name, in the order of their trial."""
    rules: dict[str, TextRule] = {"empty": is_empty}
    if config.drop_identical:
        rules["identical"] = is_identical
    if config.min_script_share is not None:
        rules["script"] = WrongScript(script_of(languages.source), script_of(languages.target), config.min_script_share)
    if config.drop_overlap:
        rules["overlap"] = overlap
    if len(excluded.keys):
        rules["excluded"] = excluded
    return rules


def length_rules(max_pieces: int, max_ratio: float | None = None) -> dict[str, LengthRule]:
    """Rules on numbers of pieces by name, in the order of their trial."""
    rules: dict[str, LengthRule] = {"empty": is_without_pieces, "length": TooLong(max_pieces)}
    if max_ratio is not None:
        rules["length_ratio"] = Unbalanced(max_ratio)
    return rules


def is_empty(source: str, target: str) -> bool:
    return not source or not target


def is_identical(source: str, target: str) -> bool:
    return source == target


@dataclass(frozen=True)
class WrongScript:
    """A side with too few of its letters in its language's script. A side whose script is None is not checked."""

    source: str | None
    target: str | None
    least_share: float

    def __call__(self, source: str, target: str) -> bool:
        return self._is_wrong(source, self.source) or self._is_wrong(target, self.target)

    def _is_wrong(self, text: str, script: str | None) -> bool:
        return script is not None and script_share(text, script) < self.least_share


@dataclass(frozen=True)
class Overlap:
    """A side that occurs in dev or test on the same side. sources, targets: the keys of what occurs there."""

    sources: frozenset[bytes]
    targets: frozenset[bytes]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> Overlap:
        """With these pairs of clean lines."""
        keys = [(sentence_key(source), sentence_key(target)) for source, target in pairs]
        return cls(frozenset(key for key, _ in keys if key), frozenset(key for _, key in keys if key))

    def __call__(self, source: str, target: str) -> bool:
        if self.sources and sentence_key(source) in self.sources:
            return True
        return bool(self.targets) and sentence_key(target) in self.targets


@dataclass(frozen=True)
class Excluded:
    """A side that equals one of many lines, ignoring case, punctuation and spaces.

    keys: of the lines, uint64, sorted: 8 bytes for each, which forked workers share.
    """

    keys: np.ndarray

    @classmethod
    def of(cls, lines: Iterable[str]) -> Excluded:
        keys = (key for line in lines if (key := line_key(line)) is not None)
        return cls(np.unique(np.fromiter(keys, np.uint64)))

    def __call__(self, source: str, target: str) -> bool:
        return self._is_listed(source) or self._is_listed(target)

    def _is_listed(self, text: str) -> bool:
        if (key := line_key(text)) is None:
            return False
        place = int(np.searchsorted(self.keys, np.uint64(key)))
        return place < len(self.keys) and int(self.keys[place]) == key


def is_without_pieces(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.minimum(source, target) == 0


@dataclass(frozen=True)
class TooLong:
    """A side of more pieces than allowed."""

    most: int

    def __call__(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        return np.maximum(source, target) > self.most


@dataclass(frozen=True)
class Unbalanced:
    """A side much longer than the other, unless both are short."""

    most: float

    def __call__(self, source: np.ndarray, target: np.ndarray) -> np.ndarray:
        longest, shortest = np.maximum(source, target), np.minimum(source, target)
        return (longest >= SHORT) & (longest > self.most * shortest)


class _Folding(dict[int, str]):
    """Translation table of `str.translate`: punctuation, symbols and controls become spaces. Variation selectors, which
    say how the sign before them looks (❤ in red), are left out."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = " " if unicodedata.category(character)[0] in "PSZC" else character
        return self[code]


_FOLDING = _Folding(dict.fromkeys((*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)), ""))


def sentence_key(text: str) -> bytes:
    """64 bits that are equal for sentences that differ only in case, punctuation and forms of characters (NFKC: `１` is
    `1`); empty if nothing else is in it."""
    return _digest(" ".join(_folded(text)))


def line_key(text: str) -> int | None:
    """The same of lines that also may differ in spaces; None if nothing else is in it.

    It finds more than `sentence_key`, as excluded lines may come from files that nobody cleaned.
    """
    bare = unicodedata.normalize("NFKC", "".join(_folded(text)))  # folding may have undone the normal form
    return int.from_bytes(_digest(bare)) if bare else None


def pair_key(source: str, target: str) -> bytes:
    """64 bits that are equal for equal pairs of clean lines."""
    return _digest(f"{source}\n{target}")


def _folded(text: str) -> list[str]:
    return unicodedata.normalize("NFKC", text).casefold().translate(_FOLDING).split()


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=8).digest() if text else b""
