"""Subword tokenizers by SentencePiece (Kudo and Richardson 2018), unigram or BPE."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from s2s_cli.errors import DataError
from s2s_cli.text.casing import MARKS, mark, unmark, without_marks
from s2s_cli.text.hygiene import one_line
from s2s_cli.text.tokenizer import (
    BOS,
    EOS,
    PAD,
    SYMBOLS,
    UNK,
    UNKNOWN_TEXT,
    WORD_START,
    Tokenizer,
    not_text,
    word_indices,
)

# The trainer adds floats in an order that depends on the number of its threads, and so the vocabulary depends on it
# too. A fixed number makes it the same on every machine, at no cost in time.
_THREADS = 16

# The trainer skips longer lines, which have little to say about words.
_MAX_LINE_BYTES = 16_384

# `normalizer_spec { add_dummy_prefix: false remove_extra_whitespaces: false }`. After a serialised model, it changes
# these two: messages of Protocol Buffers, one after the other, are one message in which the last values count.
_VERBATIM = b"\x1a\x04\x18\x00\x20\x00"

# A field of its own, 1001, at the end of a model whose pieces are of text in case markup. Other programs pass over it.
_CASE_MARKUP = b"\xca\x3e\x0bcase markup"

_CONTROL = b"\x18\x03"  # `type: CONTROL` of a piece
_CONTROLS = 3  # padding, begin and end: the special symbols but the unknown one


class SentencePieceTokenizer(Tokenizer):
    """A trained SentencePiece model."""

    kind = "sentencepiece"

    def __init__(self, model: bytes) -> None:
        self._model = model
        self.case_markup = model.endswith(_CASE_MARKUP)
        self._processor = SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise DataError("not a SentencePiece model, or a damaged one") from error
        self._texts: dict[int, str] = {}  # of pieces that were asked for, since looking them up here is faster
        self.size = self._processor.get_piece_size()
        found = tuple(self._processor.piece_to_id(symbol) for symbol in SYMBOLS)
        if found != (PAD, UNK, BOS, EOS):
            symbols = ", ".join(SYMBOLS)
            raise DataError(f"a foreign SentencePiece model: {symbols} have the ids {found}, not 0, 1, 2, 3")
        has_tags = model.count(_CONTROL) > _CONTROLS  # else there is no need to ask for each piece
        tags = filter(self._processor.is_control, range(len(SYMBOLS), self.size) if has_tags else ())
        self.tags = {self._processor.id_to_piece(index): index for index in tags}

    def encode(self, lines: Sequence[str]) -> list[list[int]]:
        try:
            if self.case_markup:
                lines = list(map(mark, lines))
            if len(lines) == 1:  # for a list the library starts a thread, which takes longer than a line
                return [self._processor.encode(lines[0])]
            return self._processor.encode(list(lines), num_threads=1)
        except (AttributeError, TypeError, UnicodeError, RuntimeError) as error:
            raise not_text(lines) from error

    def decode(self, ids: Sequence[int]) -> str:
        """What is between two tags is read for itself: a mark of case changes nothing before a tag."""
        if not self.case_markup or self._tag_ids.isdisjoint(ids):
            return super().decode(ids)
        runs: list[list[str]] = [[]]
        for index, piece in zip(ids, self.pieces(ids), strict=True):
            if index in self._tag_ids:
                runs.append([])
            elif index not in (PAD, BOS, EOS):
                runs[-1].append(UNKNOWN_TEXT if index == UNK else piece)
        text = "".join(map(self.spelled, runs)).replace(WORD_START, " ")
        return " ".join(one_line(text).split())

    def pieces(self, ids: Sequence[int]) -> list[str]:
        texts = self._texts
        for index in set(ids).difference(texts):
            texts[int(index)] = self._processor.id_to_piece(int(index))
        return [texts[index] for index in ids]

    def scores(self) -> dict[int, float]:
        """log p of each piece of a unigram model, or minus the rank of a merge of BPE; of those that stand for text."""
        processor = self._processor
        special = (processor.is_control, processor.is_unknown)
        return {
            index: processor.get_score(index) for index in range(self.size) if not any(is_(index) for is_ in special)
        }

    @property
    def algorithm(self) -> str:
        """`bpe`, whose scores are ranks, or `unigram`."""
        return "bpe" if all(score.is_integer() for score in self.scores().values()) else "unigram"

    def encode_piece(self, piece: str) -> list[int]:
        return self._verbatim.encode(piece)

    def encode_inside(self, text: str) -> list[int]:
        return self.encode_piece(mark(text) if self.case_markup else text)

    def word_indices(self, ids: Sequence[int]) -> list[int]:
        pieces = self.pieces(ids)
        return word_indices(map(without_marks, pieces) if self.case_markup else pieces)

    def spelled(self, pieces: Iterable[str]) -> str:
        text = super().spelled(pieces)
        return unmark(text) if self.case_markup else text

    @cached_property
    def case_marks(self) -> list[int]:
        found = (self._processor.piece_to_id(sign) for sign in MARKS) if self.case_markup else ()
        return [index for index in found if index != UNK]

    def to_bytes(self) -> bytes:
        return self._model

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        return cls(data)

    def _join(self, ids: Sequence[int]) -> str:
        text = self._processor.decode([int(index) for index in ids])
        return unmark(text) if self.case_markup else text

    def _extended(self, other: SentencePieceTokenizer) -> SentencePieceTokenizer:
        """New pieces of unigram models keep their scores, which are log-probabilities in both. Those of BPE are ranks
        of merges: the new merges come after all old ones, whose segmentation of a word they can only join further."""
        if self.case_markup != other.case_markup:
            has, others = ("with" if each.case_markup else "without" for each in (self, other))
            raise DataError(f"a tokenizer {has} case markup cannot be extended by one {others} it")
        own, scores = set(self.pieces(range(self.size))), other.scores()
        texts = dict(zip(scores, other.pieces(list(scores)), strict=True))
        lacking = [(text, scores[index]) for index, text in texts.items() if text not in own]
        if self.algorithm == "bpe":
            lacking = [(text, float(len(SYMBOLS) - rank)) for rank, (text, _) in enumerate(lacking, self.size)]
        tags = (_piece(tag, 0.0, _CONTROL) for tag in other.tags if tag not in own)
        pieces = (_piece(*each) for each in lacking)
        end = _CASE_MARKUP if self.case_markup else b""
        return SentencePieceTokenizer(b"".join((self._model.removesuffix(end), *tags, *pieces, end)))

    @cached_property
    def _verbatim(self) -> SentencePieceProcessor:
        """The same model without the word start that it puts before every line, to encode parts of lines."""
        processor = SentencePieceProcessor()
        processor.LoadFromSerializedProto(self._model + _VERBATIM)
        return processor


def _piece(text: str, score: float, kind: bytes = b"") -> bytes:
    """`pieces { piece: text score: score }` of a ModelProto, and its `type` if it is not a normal one. Put after a
    serialised model, it is one piece more: two messages of Protocol Buffers, one after the other, are one whose
    repeated fields have the values of both."""
    data = text.encode()
    body = b"\x0a" + _varint(len(data)) + data + b"\x15" + struct.pack("<f", score) + kind
    return b"\x0a" + _varint(len(body)) + body


def _varint(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth bit of all bytes but the last is set."""
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def train_sentencepiece(
    lines: Iterable[str],
    *,
    model: str,
    vocabulary: int,
    character_coverage: float,
    tags: Sequence[str] = (),
    case_markup: bool = False,
) -> SentencePieceTokenizer:
    """Train on clean lines: at most `vocabulary` pieces, fewer if the lines do not yield as many.

    case_markup: whether the pieces are those of the lines in case markup, see `s2s_cli.text.casing`.

    The same lines give the same bytes. Raises DataError if there is no text or the vocabulary is too small for it.
    """
    written = io.BytesIO()
    # However few words are in capitals. Without markup it is not even given: a model repeats what it was given.
    further: dict[str, Any] = {"required_chars": MARKS} if case_markup else {}
    try:
        SentencePieceTrainer.train(
            sentence_iterator=map(mark, lines) if case_markup else iter(lines),
            model_writer=written,
            model_type=model,
            vocab_size=vocabulary,
            hard_vocab_limit=False,
            character_coverage=character_coverage,
            normalization_rule_name="identity",  # the lines are clean: keep case and characters as they are
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            control_symbols=",".join(tags),  # unlike user-defined symbols, they are never found in text
            unk_surface=UNKNOWN_TEXT,
            max_sentence_length=_MAX_LINE_BYTES,
            num_threads=_THREADS,
            minloglevel=2,
            **further,
        )
    except RuntimeError as error:
        raise _reason(str(error), vocabulary) from error
    return SentencePieceTokenizer(written.getvalue() + (_CASE_MARKUP if case_markup else b""))


def _reason(message: str, vocabulary: int) -> DataError:
    """The two known failures of SentencePiece as messages to the user."""
    if "sentences_.empty()" in message:
        return DataError("there is no text to train a tokenizer on")
    if "smaller than required_chars" in message:
        needed = message.partition(f"{vocabulary} vs ")[2].partition(".")[0]
        return DataError(
            f"a vocabulary of {vocabulary} has no room for the {needed} characters of the text",
            hint="raise tokenizer.vocabulary or lower tokenizer.character_coverage",
        )
    return DataError(f"SentencePiece cannot be trained: {message}")
