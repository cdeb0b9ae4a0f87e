"""Tokenizers: the interface, the four symbols they all share, and how a pair of them lies on disk."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Self

from s2s_cli.errors import DataError, MachineError
from s2s_cli.text.hygiene import one_line, quoted

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Padding, unknown, begin and end of sentence: the same ids in every vocabulary."""
SYMBOLS = ("<pad>", "<unk>", "<s>", "</s>")
UNKNOWN_TEXT = "⁇"
"""What an unknown symbol reads as in decoded text."""
WORD_START = "▁"
"""Begins each piece that begins a word (U+2581)."""

# kind -> module and class: a tokenizer's library is imported when one of its kind is first met.
_KINDS = {
    "sentencepiece": ("s2s_cli.text.sentencepieces", "SentencePieceTokenizer"),
    "character": ("s2s_cli.text.symbols", "CharacterTokenizer"),
    "word": ("s2s_cli.text.symbols", "WordTokenizer"),
}
_FORMAT = 1
_INDEX = "tokenizers.json"


class Tokenizer(ABC):
    """Text to ids and back. Give it lines that went through `clean_line`."""

    kind: ClassVar[str]
    size: int
    """Number of symbols, the four special ones included."""

    @abstractmethod
    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Ids of each line, without BOS and EOS. A blank line has none.

        Raises DataError if a line is not Unicode text (a lone surrogate).
        """

    def decode(self, ids: Sequence[int]) -> str:
        """One line of text, without the special symbols; an unknown one reads "⁇"."""
        text = self._join([index for index in ids if index not in (PAD, BOS, EOS)])
        return " ".join(one_line(text).split())

    @abstractmethod
    def pieces(self, ids: Sequence[int]) -> list[str]:
        """What each id stands for."""

    def word_indices(self, ids: Sequence[int]) -> list[int]:
        """For each id the index of the word of the decoded text that it is a part of."""
        return word_indices(self.pieces(ids))

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The whole tokenizer as the content of a file."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises DataError if `data` is something else."""

    @abstractmethod
    def _join(self, ids: Sequence[int]) -> str:
        """Text of ids among which PAD, BOS and EOS are not."""


def word_indices(pieces: Iterable[str]) -> list[int]:
    """Word of each piece, where WORD_START begins a word. Lone marks are words only together with what follows."""
    indices, word, has_text = [], 0, False
    for piece in pieces:
        if piece.startswith(WORD_START) and has_text:
            word, has_text = word + 1, False
        has_text = has_text or piece != WORD_START
        indices.append(word)
    last = word if has_text else max(word - 1, 0)
    return [min(index, last) for index in indices]


@dataclass(frozen=True)
class TokenizerPair:
    """The tokenizers of both sides; the same object twice if they share one vocabulary."""

    source: Tokenizer
    target: Tokenizer

    @property
    def joint(self) -> bool:
        return self.source is self.target


def save_tokenizers(pair: TokenizerPair, directory: Path) -> list[Path]:
    """Write one file for each vocabulary, and an index with their kinds, sizes and checksums."""
    directory.mkdir(parents=True, exist_ok=True)
    index: dict[str, object] = {"format": _FORMAT, "joint": pair.joint}
    paths = []
    for name, tokenizer in _files(pair).items():
        data = tokenizer.to_bytes()
        index[name] = {
            "kind": tokenizer.kind,
            "size": tokenizer.size,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        paths.append(directory / name)
        paths[-1].write_bytes(data)
    paths.append(directory / _INDEX)
    paths[-1].write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return paths


def load_tokenizers(directory: Path) -> TokenizerPair:
    """Read what `save_tokenizers` wrote.

    Raises DataError, which names the file, if one is missing, damaged, or not the one that was saved here.
    """
    where = directory / _INDEX
    try:
        index = json.loads(_read(where))
        if index["format"] != _FORMAT:
            raise DataError(f"unknown format {quoted(index['format'])}", where=where, hint="written by a newer s2s?")
        if index["joint"]:
            tokenizer = _load(directory / "tokenizer.model", index["tokenizer.model"])
            return TokenizerPair(tokenizer, tokenizer)
        return TokenizerPair(*(_load(directory / name, index[name]) for name in ("source.model", "target.model")))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"damaged index of the tokenizers: {quoted(error)}", where=where, hint=_REMEDY) from error


_REMEDY = "restore the whole directory, or prepare the data again with `s2s prep --force`"


def _files(pair: TokenizerPair) -> dict[str, Tokenizer]:
    if pair.joint:
        return {"tokenizer.model": pair.source}
    return {"source.model": pair.source, "target.model": pair.target}


def _load(path: Path, expected: dict) -> Tokenizer:
    """The tokenizer in a file, if it is the file that `expected` describes."""
    data = _read(path)
    if len(data) != expected["bytes"]:
        sizes = f"{len(data)} bytes instead of {quoted(expected['bytes'])}"
        raise DataError(f"tokenizer of {sizes}", where=path, hint=_REMEDY)
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise DataError("tokenizer with a wrong checksum", where=path, hint=_REMEDY)
    module, name = _KINDS[expected["kind"]]
    try:
        tokenizer: Tokenizer = getattr(import_module(module), name).from_bytes(data)
    except DataError as error:
        raise DataError(error.what, where=path, hint=_REMEDY) from error
    if tokenizer.size != expected["size"]:
        sizes = f"{tokenizer.size} symbols instead of {quoted(expected['size'])}"
        raise DataError(f"tokenizer of {sizes}", where=path, hint=_REMEDY)
    return tokenizer


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError("tokenizer file is missing", where=path, hint=_REMEDY) from error
    except OSError as error:
        raise MachineError(f"cannot be read: {error.strerror}", where=path) from error


def not_text(lines: Sequence[str]) -> DataError:
    """The error for lines of which one cannot be written in UTF-8."""
    for number, line in enumerate(lines, 1):
        if any("\ud800" <= character <= "\udfff" for character in line):
            return DataError(f"line {number} is not Unicode text: it has a lone surrogate", hint="decode it as UTF-8")
    return DataError("the lines to encode are not all text")
