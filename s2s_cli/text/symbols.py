"""Tokenizers with a plain list of symbols: characters or words."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from typing import Self

from s2s_cli.errors import DataError, printable
from s2s_cli.text.tokenizer import SYMBOLS, UNK, UNKNOWN_TEXT, WORD_START, Tokenizer, not_text


class SymbolTokenizer(Tokenizer):
    """A tokenizer that looks each symbol of a line up in a list."""

    def __init__(self, symbols: Sequence[str], tags: Collection[str] = ()) -> None:
        """symbols: all but the four special ones, which come first. tags: those of them that are in no text."""
        self._pieces = [*SYMBOLS, *symbols]
        indices = {symbol: index for index, symbol in enumerate(symbols, len(SYMBOLS))}
        self.tags = {tag: indices.pop(tag) for tag in tags}
        self._ids = indices
        self.size = len(self._pieces)

    @classmethod
    def train(cls, lines: Iterable[str], *, vocabulary: int, tags: Sequence[str] = ()) -> Self:
        """The most frequent symbols of clean lines, at most `vocabulary` with the special ones and the tags.

        Raises DataError if there is no text, or no room for a symbol of it.
        """
        counts = Counter(chain.from_iterable(cls.split(line) for line in lines))
        if not counts:
            raise DataError("there is no text to train a tokenizer on")
        if vocabulary <= len(SYMBOLS) + len(tags):
            what = f"a vocabulary of {vocabulary} has no room for text beside {len(SYMBOLS)} special symbols"
            raise DataError(f"{what} and {len(tags)} tags", hint="raise tokenizer.vocabulary")
        ranked = sorted(counts.keys() - set(tags), key=lambda symbol: (-counts[symbol], symbol))
        return cls([*tags, *ranked][: vocabulary - len(SYMBOLS)], tags)

    @staticmethod
    @abstractmethod
    def split(line: str) -> Sequence[str]:
        """The symbols of a line."""

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        try:
            "".join(lines).encode()
        except (TypeError, UnicodeError) as error:
            raise not_text(lines) from error
        return [[self._ids.get(symbol, UNK) for symbol in self.split(line)] for line in lines]

    def pieces(self, ids: Sequence[int]) -> list[str]:
        return [self._pieces[index] for index in ids]

    def encode_piece(self, piece: str) -> list[int]:
        return self.encode([piece])[0]

    def _extended(self, other: SymbolTokenizer) -> SymbolTokenizer:
        own, others = (tokenizer._pieces[len(SYMBOLS) :] for tokenizer in (self, other))
        return type(self)(list(dict.fromkeys([*own, *others])), self.tags.keys() | other.tags.keys())

    def to_bytes(self) -> bytes:
        tags = {"tags": sorted(self.tags)} if self.tags else {}
        content = {"kind": self.kind, "symbols": self._pieces[len(SYMBOLS) :], **tags}
        return json.dumps(content, ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        try:
            content = json.loads(data)
            kind, symbols, tags = content["kind"], content["symbols"], content.get("tags", [])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"not a {cls.kind} tokenizer, or a damaged one") from error
        if kind != cls.kind:
            raise DataError(f"a tokenizer of kind {printable(repr(kind), 60)} where one of kind {cls.kind!r} should be")
        for listed in (symbols, tags):
            if not isinstance(listed, list) or not all(isinstance(symbol, str) for symbol in listed):
                raise DataError(f"a {cls.kind} tokenizer without a list of symbols")
            if len(set(listed)) != len(listed):
                raise DataError(f"a {cls.kind} tokenizer that lists a symbol twice")
        if not set(tags) <= set(symbols):
            raise DataError(f"a {cls.kind} tokenizer without a symbol for a tag")
        return cls(symbols, tags)

    def _readable(self, ids: Sequence[int]) -> list[str]:
        return [UNKNOWN_TEXT if index == UNK else self._pieces[index] for index in ids]


class CharacterTokenizer(SymbolTokenizer):
    """A symbol for each character; a space is written as WORD_START."""

    kind = "character"

    @staticmethod
    def split(line: str) -> str:
        return line.replace(" ", WORD_START)

    def _join(self, ids: Sequence[int]) -> str:
        return "".join(self._readable(ids)).replace(WORD_START, " ")


class WordTokenizer(SymbolTokenizer):
    """A symbol for each word between white space."""

    kind = "word"

    @staticmethod
    def split(line: str) -> list[str]:
        return line.split()

    def word_indices(self, ids: Sequence[int]) -> list[int]:
        return list(range(len(ids)))

    def _join(self, ids: Sequence[int]) -> str:
        return " ".join(self._readable(ids))
