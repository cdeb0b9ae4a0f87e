"""Tokenizers: the interface, the four symbols they all share, and a pair of them on disk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from itertools import count, takewhile
from typing import Any, ClassVar, Literal, Self

from s2s_cli.errors import DataError
from s2s_cli.forms import is_unicode
from s2s_cli.sealed import Document, ManifestWriter, SealedDirectory, to_json
from s2s_cli.text.hygiene import clean_line, one_line

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Padding, unknown, begin and end of sentence: the same ids in every vocabulary."""
SYMBOLS = ("<pad>", "<unk>", "<s>", "</s>")
UNKNOWN_TEXT = "⁇"
"""The text of an unknown symbol in decoded text."""
WORD_START = "▁"
"""The first character of each piece that begins a word (U+2581)."""


def mark_name(number: int) -> str:
    """The tag that stands for the number-th protected span of a sentence, counted from 1."""
    return f"⟦{number}⟧"


# kind -> module and class: the library of a tokenizer is imported when it is first needed.
_KINDS = {
    "sentencepiece": ("s2s_cli.text.sentencepieces", "SentencePieceTokenizer"),
    "character": ("s2s_cli.text.symbols", "CharacterTokenizer"),
    "word": ("s2s_cli.text.symbols", "WordTokenizer"),
}
_INDEX = "tokenizers.json"


TERM_TAGS = ("⟦term⟧", "⟦is⟧", "⟦/term⟧")
"""Tags around a term of the source and what it is to be: ⟦term⟧ Quelle ⟦is⟧ source ⟦/term⟧ (Dinu et al. 2019)."""


class Tokenizer(ABC):
    """Text to ids and back. Give it lines that went through `clean_line`."""

    kind: ClassVar[str]
    size: int
    """Number of symbols, the four special ones included."""
    tags: Mapping[str, int]
    """Ids of the tags by name. A tag is put before a sentence by its id: no text is encoded as one, and none decodes to
    text."""
    case_markup: bool = False
    """Whether pieces are those of text in case markup, see `s2s_cli.text.casing`."""

    @abstractmethod
    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        """Ids of each line, without BOS and EOS. A blank line has none.

        Raises DataError if a line is not Unicode text (a lone surrogate).
        """

    @cached_property
    def marks(self) -> list[int]:
        """Ids of the tags that stand for protected spans, in the source as in a translation."""
        numbered = map(mark_name, count(1))
        return [self.tags[name] for name in takewhile(self.tags.__contains__, numbered)]

    @cached_property
    def term_tags(self) -> tuple[int, int, int] | None:
        """Ids of `TERM_TAGS`, if there are such."""
        found = [self.tags[name] for name in TERM_TAGS if name in self.tags]
        return (found[0], found[1], found[2]) if len(found) == len(TERM_TAGS) else None

    @cached_property
    def _tag_ids(self) -> frozenset[int]:
        return frozenset(self.tags.values())

    def text_pieces(self, ids: Sequence[int]) -> tuple[list[int], list[int]]:
        """Where the pieces of text stand among these ids, and the index of the word of each. Tags are no text; what is
        said of a term belongs to its last word."""
        tags = self._tag_ids
        if tags.isdisjoint(ids):
            return list(range(len(ids))), self.word_indices(ids)
        told, places = self.told(ids), [place for place, index in enumerate(ids) if index not in tags]
        words = iter(self.word_indices([ids[place] for place in places if place not in told]))
        last, of_piece = 0, list[int]()
        for place in places:
            last = last if place in told else next(words)
            of_piece.append(last)
        return places, of_piece

    def told(self, ids: Sequence[int]) -> set[int]:
        """Where the tags of terms, and what is said of these, stand among these ids."""
        found, given = set[int](), False
        _, begin, end = tags = self.term_tags or (-1, -1, -1)
        for place, index in enumerate(ids):
            given = (given or index == begin) and index != end
            if given or index in tags:
                found.add(place)
        return found

    @property
    def unwritten(self) -> list[int]:
        """Ids of the tags that no translation has: all but the marks."""
        return [index for index in self.tags.values() if index not in self.marks]

    def encode_marked(self, items: Sequence[str | int]) -> list[int]:
        """Ids of a line that is given in parts: texts, in which words go on after a mark as if it were not there, and
        the ids of marks between them. Any text but the first may begin inside a word."""
        ids: list[int] = []
        text_ended, space = False, False  # whether there was text; and white space after it
        for item in items:
            if isinstance(item, int):
                ids.append(item)
                continue
            text = clean_line(item)
            space = space or item[:1].isspace()
            if text:
                begins = space and (item[0].isspace() or text[0].isalnum())  # "%s, and" goes on with a comma
                ids += self.encode_inside(f" {text}" if begins else text) if text_ended else self.encode([text])[0]
                text_ended, space = True, item[-1].isspace()
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """One line of text, without the special symbols and tags; an unknown one reads "⁇"."""
        silent = (PAD, BOS, EOS, *self.tags.values())
        text = self._join([index for index in ids if index not in silent])
        return " ".join(one_line(text).split())

    @abstractmethod
    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The piece of each id."""

    @abstractmethod
    def encode_piece(self, piece: str) -> list[int]:
        """Ids of the text of a piece, as inside a line: no word begins where the piece does not begin one."""

    def encode_inside(self, text: str) -> list[int]:
        """Ids of text inside a line: no word begins but after a space (or WORD_START)."""
        return self.encode_piece(text)

    def spelled(self, pieces: Iterable[str]) -> str:
        """The text of pieces that follow one another, with WORD_START for a space."""
        return "".join(pieces)

    @cached_property
    def case_marks(self) -> list[int]:
        """Ids of the pieces that are nothing but a mark of case."""
        return []

    def extended(self, other: Tokenizer) -> Tokenizer:
        """This vocabulary with its ids, and after it the pieces of `other` that it lacks, in their order.

        Raises DataError if `other` is of another algorithm, whose pieces mean something else.
        """
        if self.algorithm != other.algorithm:
            raise DataError(f"a tokenizer of {self.algorithm!r} cannot be extended by one of {other.algorithm!r}")
        return self._extended(other)

    def word_indices(self, ids: Sequence[int]) -> list[int]:
        """For each id, the index of its word in the decoded text."""
        return word_indices(self.pieces(ids))

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The whole tokenizer as the content of a file."""

    @classmethod
    @abstractmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises DataError if `data` is not such a tokenizer."""

    @property
    def algorithm(self) -> str:
        """What found the pieces: the kind, or SentencePiece's algorithm."""
        return self.kind

    @abstractmethod
    def _extended(self, other: Any) -> Tokenizer:
        """`extended` by a tokenizer of the same class and algorithm."""

    @abstractmethod
    def _join(self, ids: Sequence[int]) -> str:
        """Text of ids that contain neither PAD nor BOS nor EOS nor tags."""


def word_indices(pieces: Iterable[str]) -> list[int]:
    """Word of each piece, where WORD_START begins a word. A lone WORD_START belongs to the word that follows, and so do
    pieces without text after it."""
    indices, word, has_text = [], 0, False
    for piece in pieces:
        if piece.startswith(WORD_START) and has_text:
            word, has_text = word + 1, False
        has_text = has_text or piece not in ("", WORD_START)
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

    def extended(self, other: TokenizerPair) -> TokenizerPair:
        """The vocabularies of this pair and after them the further pieces of `other`; joint if those are."""
        if not other.joint:
            return TokenizerPair(self.source.extended(other.source), self.target.extended(other.target))
        both = self.source if self.joint else self.source.extended(self.target)
        extended = both.extended(other.source)
        return TokenizerPair(extended, extended)


class _TokenizerFile(Document):
    others: ClassVar[Any] = Any  # older files repeat what the manifest has

    kind: Literal["sentencepiece", "character", "word"]


class _Index(Document):
    """`tokenizers.json`; besides, the kind of each file, by its name."""

    others: ClassVar[Any] = _TokenizerFile

    format: Literal[1, 2, 3]
    """3 if there is case markup, which older versions do not know: they are to refuse it."""
    joint: bool


def save_tokenizers(pair: TokenizerPair, writer: ManifestWriter) -> None:
    """Write one file for each vocabulary, and an index with their kinds. Raises `OSError`."""
    tokenizers = dict(zip(_names(pair.joint), (pair.source, pair.target), strict=False))
    kinds = {name: {"kind": tokenizer.kind} for name, tokenizer in tokenizers.items()}
    for name, tokenizer in tokenizers.items():
        writer.write(name, [tokenizer.to_bytes()])
    form = 3 if any(tokenizer.case_markup for tokenizer in tokenizers.values()) else 2
    writer.write(_INDEX, [to_json(_Index.read({"format": form, "joint": pair.joint, **kinds}))])


def load_tokenizers(sealed: SealedDirectory) -> TokenizerPair:
    """Read what `save_tokenizers` wrote.

    Raises DataError, which names the file, if one is missing, damaged, or not the one that was saved.
    """
    index = sealed.parse(_INDEX, _Index)
    tokenizers = [_load(sealed, name, index) for name in _names(index.joint)]
    return TokenizerPair(tokenizers[0], tokenizers[-1])


def _names(joint: bool) -> tuple[str, ...]:
    return ("tokenizer.model",) if joint else ("source.model", "target.model")


def _load(sealed: SealedDirectory, name: str, index: _Index) -> Tokenizer:
    file: _TokenizerFile | None = vars(index).get(name)
    if file is None:
        raise DataError(f"does not know {name}", where=sealed.path / _INDEX)
    module, kind = _KINDS[file.kind]
    data = sealed.read(name)
    try:
        return getattr(import_module(module), kind).from_bytes(data)
    except DataError as error:
        raise DataError(error.what, where=sealed.path / name) from error


def not_text(lines: Sequence[str]) -> DataError:
    """The error for lines one of which cannot be encoded as UTF-8."""
    for number, line in enumerate(lines, 1):
        if not is_unicode(line):
            return DataError(f"line {number} is not Unicode text: it has a lone surrogate", hint="decode it as UTF-8")
    return DataError("the lines to encode are not all text")
