"""The symbols that a model writes, as text.

Letters and digits make words; whole words have none beside them. In languages that write no spaces, any place is as
good as another.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from s2s_cli.errors import DataError, printable
from s2s_cli.text.casing import MARKS, is_letter
from s2s_cli.text.sentences import joins_without_space
from s2s_cli.text.tokenizer import EOS, UNK, WORD_START, Tokenizer

_ATTACHED = frozenset(",.;:!?%)]}»”’…、。，；：！？）」』】")
"""What a line does not have a space before."""


@dataclass(frozen=True)
class Vocabulary:
    """language: code of the target language."""

    tokenizer: Tokenizer
    language: str

    @cached_property
    def texts(self) -> list[str]:
        """Of each symbol, with WORD_START for a space; "" for special symbols and tags."""
        silent = {*range(EOS + 1), *self.tokenizer.tags.values()}
        start = WORD_START if self.tokenizer.kind == "word" else ""
        pieces = enumerate(self.tokenizer.pieces(range(self.tokenizer.size)))
        return ["" if index in silent else start + piece for index, piece in pieces]

    @cached_property
    def goes_on_V(self) -> np.ndarray:
        """Whether a symbol goes on with a word that has begun."""
        return np.array([bool(text) and self.is_word(text[0]) for text in self.texts])

    @cached_property
    def silent_V(self) -> np.ndarray:
        """Whether a symbol is a tag, which stands between others as if it were not there."""
        return np.isin(np.arange(self.tokenizer.size), list(self.tokenizer.tags.values()))

    @cached_property
    def ends_word_V(self) -> np.ndarray:
        """Whether a word could go on after a symbol."""
        return np.array([bool(text) and self.is_word(text[-1]) for text in self.texts])

    def contains(self, text: str, phrase: str) -> bool:
        """Whether a phrase stands in a text, as whole words; one in small letters stands there in capitals, too."""
        return self.times(phrase, text) > 0

    def times(self, phrase: str, text: str) -> int:
        """How often it does."""
        if phrase == phrase.lower():
            text = lowered(text)
        count, place = 0, text.find(phrase)
        while place >= 0:
            end = place + len(phrase)
            cut_before = place > 0 and self.is_word(text[place - 1]) and self.is_word(phrase[0])
            cut_after = end < len(text) and self.is_word(text[end]) and self.is_word(phrase[-1])
            count += not cut_before and not cut_after
            place = text.find(phrase, place + 1)
        return count

    @cached_property
    def has_spaces(self) -> bool:
        return not joins_without_space(self.language)

    def is_word(self, character: str) -> bool:
        """With case markup, letters that one mark is of are a word in any language."""
        if not self.has_spaces:
            return self.tokenizer.case_markup and (character in MARKS or is_letter(character))
        return character.isalnum() or unicodedata.category(character)[0] == "M"

    def ids(self, text: str, name: str, *, inside: bool = False) -> list[int]:
        """The symbols of a text, which is called `name` in the DataError for what the model cannot write. inside: as
        inside a line, where no word begins."""
        self.refuse_word_start(text, name)
        ids = (
            self.tokenizer.encode_inside(text.replace(" ", WORD_START)) if inside else self.tokenizer.encode([text])[0]
        )
        if UNK in ids:
            parts = text.split() if self.tokenizer.kind == "word" else dict.fromkeys(text.replace(" ", ""))
            unknown = [part for part in parts if UNK in self.tokenizer.encode_inside(part)]
            listed = ", ".join(printable(repr(part), 30) for part in unknown[:5])
            raise DataError(f"the model cannot write {listed} of the {name} {printable(repr(text), 60)}")
        return ids

    @staticmethod
    def refuse_word_start(text: str, name: str) -> None:
        """Raises DataError for a text with WORD_START, which a tokenizer would take for a space."""
        if WORD_START in text:
            raise DataError(f"the model cannot write {WORD_START!r} of the {name} {printable(repr(text), 60)}")

    def phrase(self, text: str, name: str = "constraint") -> tuple[tuple[int, ...], bool]:
        """Symbols of a phrase as it stands within a sentence, where a space comes before most."""
        is_attached = not self.has_spaces or text[0] in _ATTACHED
        if self.tokenizer.kind == "character" and not is_attached:
            text, is_attached = " " + text, True
        inside = is_attached and self.tokenizer.kind != "word"
        return tuple(self.ids(text, name, inside=inside)), self.is_word(text[-1])


def lowered(text: str) -> str:
    """Character by character, so that none is lost or added."""
    if text.isascii():
        return text.lower()
    return "".join(lower if len(lower := character.lower()) == 1 else character for character in text)
