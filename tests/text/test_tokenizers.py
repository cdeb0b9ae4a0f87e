"""Tokenizers of all kinds: the same symbols, round trips, words, and their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.errors import DataError
from s2s_cli.recipe import schema
from s2s_cli.sealed import Manifest, ManifestWriter, SealedDirectory
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.sentencepieces import SentencePieceTokenizer, train_sentencepiece
from s2s_cli.text.symbols import CharacterTokenizer, WordTokenizer
from s2s_cli.text.tokenizer import (
    BOS,
    EOS,
    PAD,
    SYMBOLS,
    UNK,
    UNKNOWN_TEXT,
    Tokenizer,
    TokenizerPair,
    load_tokenizers,
    save_tokenizers,
    word_indices,
)
from s2s_cli.text.training import train_tokenizers

LINES = [
    "Two young, White males are outside near many bushes.",
    "Several men in hard hats are operating a giant pulley system.",
    "A little girl climbing into a wooden playhouse.",
    "Ein kleines Mädchen klettert in ein Spielhaus aus Holz.",
    "Zwei Männer stehen am Herd und bereiten Essen zu.",
] * 5


def _trained(kind: str, **values: object) -> Tokenizer:
    config = schema.Tokenizer.read({"kind": kind, "vocabulary": 200, **values})
    return train_tokenizers(config, LINES, []).source


TOKENIZERS = [
    _trained("sentencepiece", model="unigram"),
    _trained("sentencepiece", model="bpe"),
    _trained("character"),
    _trained("word"),
    _trained("sentencepiece", model="unigram", case_markup=True),
    _trained("sentencepiece", model="bpe", case_markup=True),
]
NAMES = ["unigram", "bpe", "character", "word", "unigram-case", "bpe-case"]
every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=NAMES)


@every_tokenizer
def test_the_four_symbols_and_the_size(tokenizer: Tokenizer) -> None:
    assert tuple(tokenizer.pieces([PAD, UNK, BOS, EOS])) == SYMBOLS
    assert len(set(tokenizer.pieces(range(tokenizer.size)))) == tokenizer.size <= 200


@every_tokenizer
def test_known_text_comes_back(tokenizer: Tokenizer) -> None:
    for line, ids in zip(LINES, tokenizer.encode(LINES), strict=True):
        assert tokenizer.decode(ids) == line
        assert not {PAD, UNK, BOS, EOS} & set(ids)


@every_tokenizer
def test_blank_lines_have_no_ids_and_special_symbols_no_text(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode(["", "A"])[0] == [] and tokenizer.encode([]) == []
    ids = tokenizer.encode(LINES[:1])[0]
    assert tokenizer.decode([BOS, *ids, EOS, PAD, PAD]) == LINES[0]
    assert tokenizer.decode([]) == tokenizer.decode([PAD]) == ""


@every_tokenizer
def test_a_symbol_of_the_text_is_no_special_symbol(tokenizer: Tokenizer) -> None:
    assert not {PAD, BOS, EOS} & set(tokenizer.encode(["<pad> a </s> <s> <unk>"])[0])


@pytest.mark.parametrize(
    ("kind", "model"), [("sentencepiece", "unigram"), ("sentencepiece", "bpe"), ("character", None), ("word", None)]
)
def test_a_tag_is_one_piece_that_no_text_becomes_and_that_becomes_no_text(kind: str, model: str | None) -> None:
    config = schema.Tokenizer.read({"kind": kind, "vocabulary": 80, "joint": False, "model": model or "bpe"})
    lines = [f"{line} <bt>" for line in LINES]
    tokenizers = train_tokenizers(config, lines, lines, ["<bt>", "<ft>"])
    tokenizer = type(tokenizers.source).from_bytes(tokenizers.source.to_bytes())
    assert dict(tokenizer.tags) == {"<bt>": EOS + 1, "<ft>": EOS + 2} and not tokenizers.target.tags
    assert tokenizer.pieces([EOS + 1]) == ["<bt>"] and tokenizer.size <= 80
    for text in ("<bt>", "<bt> A man", "a<bt>b", "A man <ft>"):
        [ids] = tokenizer.encode([text])
        assert not {EOS + 1, EOS + 2} & set(ids)
        assert tokenizer.decode([EOS + 1, *ids, EOS + 2]) == tokenizer.decode(ids)


def test_tokenizers_without_tags_are_those_of_older_versions() -> None:
    assert json.loads(CharacterTokenizer("ab").to_bytes()) == {"kind": "character", "symbols": ["a", "b"]}
    with pytest.raises(DataError, match="lists a symbol twice"):
        CharacterTokenizer.from_bytes(b'{"kind": "character", "symbols": ["a"], "tags": ["<b>", "<b>"]}')
    with pytest.raises(DataError, match="without a symbol for a tag"):
        CharacterTokenizer.from_bytes(b'{"kind": "character", "symbols": ["a"], "tags": ["<b>"]}')


@every_tokenizer
def test_unknown_characters_are_shown(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(["Zwei 漢 Essen"])[0]
    assert UNK in ids
    assert tokenizer.decode(ids) == f"Zwei {UNKNOWN_TEXT} Essen"


@every_tokenizer
@settings(max_examples=50)
@given(data=st.data())
def test_word_indices_agree_with_the_decoded_text(tokenizer: Tokenizer, data: st.DataObject) -> None:
    """Any ids a model may emit: the words of the indices are the words of the text."""
    ids = data.draw(st.lists(st.integers(len(SYMBOLS), tokenizer.size - 1), max_size=12))
    words, indices = tokenizer.decode(ids).split(), tokenizer.word_indices(ids)
    assert len(indices) == len(ids)
    assert indices == sorted(indices)
    if words:
        assert set(indices) == set(range(len(words)))


@every_tokenizer
@settings(max_examples=50)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_makes_one_line(tokenizer: Tokenizer, text: str) -> None:
    decoded = tokenizer.decode(tokenizer.encode([clean_line(text)])[0])
    assert not set(decoded) & set("\n\r\0")


def test_a_vocabulary_with_line_ends_still_decodes_to_one_line() -> None:
    tokenizer = CharacterTokenizer(["a", "\n", "\r", "\0", "b"])
    assert tokenizer.decode([4, 5, 6, 7, 8]) == "a b"


@every_tokenizer
def test_a_lone_surrogate_is_an_error_with_its_line(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match="line 2 .* lone surrogate"):
        tokenizer.encode(["fine", "not \ud800 fine"])
    with pytest.raises(DataError, match="line 1 .* lone surrogate"):
        tokenizer.encode(["not \ud800 fine"])


@every_tokenizer
def test_a_line_alone_is_encoded_as_among_others(tokenizer: Tokenizer) -> None:
    lines = [*LINES[:5], "", " ", "x" * 100, "\ufffd ▁ é"]
    assert [tokenizer.encode([line])[0] for line in lines] == tokenizer.encode(lines)


@every_tokenizer
def test_bytes_come_back(tokenizer: Tokenizer) -> None:
    again = type(tokenizer).from_bytes(tokenizer.to_bytes())
    assert again.size == tokenizer.size and again.to_bytes() == tokenizer.to_bytes()
    assert again.encode(LINES) == tokenizer.encode(LINES)


@every_tokenizer
@pytest.mark.parametrize("model", ["unigram", "bpe"])
def test_the_parts_of_a_piece_are_its_text_and_no_more(tokenizer: Tokenizer, model: str) -> None:
    """No word begins before a piece from the middle of a word, and none is lost."""
    other = TOKENIZERS[NAMES.index(f"{model}-case" if tokenizer.case_markup else model)]
    for piece in tokenizer.pieces(range(len(SYMBOLS), tokenizer.size)):
        assert "".join(other.pieces(other.encode_piece(piece))) == piece
        assert "".join(tokenizer.pieces(tokenizer.encode_piece(piece))) == piece


@pytest.mark.parametrize("model", ["unigram", "bpe"])
def test_training_is_deterministic(model: str) -> None:
    first, second = (_trained("sentencepiece", model=model).to_bytes() for _ in range(2))
    assert first == second


def test_words_of_pieces() -> None:
    assert word_indices(["▁Zwei", "▁M", "änner", "▁", "ste", "hen"]) == [0, 1, 1, 2, 2, 2]
    assert word_indices(["▁", "▁", "a", "▁"]) == [0, 0, 0, 0]
    assert word_indices(["b", "▁"]) == [0, 0]


def test_a_vocabulary_larger_than_the_text_yields_is_cut_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    tokenizer = _trained("sentencepiece", vocabulary=8000)
    assert len(SYMBOLS) < tokenizer.size < 8000
    captured = capsys.readouterr()
    assert f"{tokenizer.size:,} pieces, all that the text yields, of 8,000" in captured.err
    assert captured.out == ""


def test_sides_can_differ() -> None:
    config = schema.Tokenizer(
        kind="word", vocabulary=12, source=schema.SideTokenizer(kind="character", vocabulary=40), target=None
    )
    pair = train_tokenizers(config, ["abc abd"], ["x y z z"])
    assert not pair.joint
    assert (pair.source.kind, pair.target.kind) == ("character", "word")
    assert pair.target.pieces([4]) == ["z"]


@pytest.mark.parametrize("kind", ["sentencepiece", "character", "word"])
def test_no_text_is_an_error(kind: str) -> None:
    with pytest.raises(DataError, match="no text"):
        train_tokenizers(schema.Tokenizer(kind=kind), [""], [])


def test_too_small_a_vocabulary_names_what_is_needed() -> None:
    with pytest.raises(DataError, match=r"8 has no room for the \d+ characters"):
        train_sentencepiece(LINES, model="unigram", vocabulary=8, character_coverage=1.0)


@pytest.mark.parametrize("vocabulary", [8, 9])
def test_a_vocabulary_has_room_for_text_beside_the_tags(vocabulary: int) -> None:
    with pytest.raises(DataError, match=f"a vocabulary of {vocabulary} has no room for text beside 4 special symbols"):
        WordTokenizer.train(LINES, vocabulary=vocabulary, tags=["<a>", "<b>", "<c>", "<d>", "<e>"])


# ---------------------------------------------------------------------------------------------------------------- files


def _sealed(pair: TokenizerPair, directory: Path) -> Path:
    writer = ManifestWriter(directory)
    save_tokenizers(pair, writer)
    writer.seal(Manifest)
    return directory


def _load(directory: Path) -> TokenizerPair:
    return load_tokenizers(SealedDirectory.open(directory))


@pytest.fixture(params=["joint", "two", "case"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[TokenizerPair, Path]:
    others = {"joint": TOKENIZERS[0], "two": TOKENIZERS[3], "case": TOKENIZERS[4]}
    pair = TokenizerPair(TOKENIZERS[0], others[request.param])
    return pair, _sealed(pair, tmp_path)


def test_files_come_back(saved: tuple[TokenizerPair, Path]) -> None:
    pair, directory = saved
    again = _load(directory)
    assert again.joint == pair.joint
    assert again.source.to_bytes() == pair.source.to_bytes()
    assert again.target.to_bytes() == pair.target.to_bytes()


def test_any_damage_of_any_file_is_found_and_named(saved: tuple[TokenizerPair, Path]) -> None:
    _, directory = saved
    for path in [*sorted(directory.glob("*.model")), directory / "tokenizers.json"]:
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 64
        for damage in (b"", b"[]", b"\xff", whole[: len(whole) // 2], whole[:-1], whole + b"x", bytes(flipped)):
            path.write_bytes(damage)
            with pytest.raises(DataError) as caught:
                _load(directory)
            assert caught.value.where == str(path)
        path.unlink()
        with pytest.raises(DataError, match="No such file"):
            _load(directory)
        path.write_bytes(whole)
    _load(directory)


def _reindexed(directory: Path, change: Callable[[dict], object]) -> Path:
    """A directory whose index was changed together with its manifest: a hostile author can."""
    index = json.loads((directory / "tokenizers.json").read_text())
    change(index)
    (directory / "tokenizers.json").write_text(json.dumps(index))
    ManifestWriter(directory).seal(Manifest)
    return directory


def test_the_index_of_an_older_version_is_read(saved: tuple[TokenizerPair, Path]) -> None:
    pair, directory = saved

    def make_old(index: dict) -> None:
        for entry in (value for value in index.values() if isinstance(value, dict)):
            entry.update(size=200, bytes=1, sha256="0" * 64)
        index["format"] = 1

    assert _load(_reindexed(directory, make_old)).joint == pair.joint


@pytest.mark.parametrize("key", ["joint", "format", "a file"])
def test_an_index_that_lacks_something_is_refused(saved: tuple[TokenizerPair, Path], key: str) -> None:
    pair, directory = saved
    if key == "a file":
        key = "tokenizer.model" if pair.joint else "source.model"
    with pytest.raises(DataError, match=r"tokenizers.json: ") as caught:
        _load(_reindexed(directory, lambda index: index.pop(key)))
    assert key in caught.value.what


def test_foreign_content_is_refused() -> None:
    foreign = (b"", b"no model" * 99, b"\x80\x04N.", b"[]", b'{"kind": "word", "symbols": [1]}')
    for kind in (SentencePieceTokenizer, CharacterTokenizer, WordTokenizer):
        for data in foreign:
            with pytest.raises(DataError):
                kind.from_bytes(data)
    with pytest.raises(DataError, match="of kind 'character' where one of kind 'word'"):
        WordTokenizer.from_bytes(TOKENIZERS[2].to_bytes())


@pytest.mark.parametrize("key", ["format", "joint", "kind", "\x1b[2J\n" * 50])
def test_what_a_hostile_file_says_is_quoted_in_few_printable_characters(tmp_path: Path, key: str) -> None:
    hostile = "\x1b[2J\n" * 10_000
    _sealed(TokenizerPair(TOKENIZERS[2], TOKENIZERS[2]), tmp_path)
    _reindexed(tmp_path, lambda index: (index["tokenizer.model"] if key == "kind" else index).update({key: hostile}))
    with pytest.raises(DataError) as raised:
        _load(tmp_path)
    with pytest.raises(DataError) as raised_by_kind:
        WordTokenizer.from_bytes(json.dumps({"kind": hostile, "symbols": []}).encode())
    for error in (raised, raised_by_kind):
        assert str(error.value).isprintable() and len(error.value.what) < 200


def test_a_sentencepiece_model_with_other_ids_is_refused() -> None:
    import io

    from sentencepiece import SentencePieceTrainer

    written = io.BytesIO()
    SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=written, vocab_size=60, minloglevel=2)
    with pytest.raises(DataError, match="foreign"):
        SentencePieceTokenizer.from_bytes(written.getvalue())


def with_piece(model: bytes, piece: bytes) -> bytes:
    """A SentencePiece model with one more piece: field 1 of its protocol buffer."""

    def varint(number: int) -> bytes:
        return bytes([number & 0x7F | 0x80]) + varint(number >> 7) if number > 0x7F else bytes([number])

    body = b"\x0a" + varint(len(piece)) + piece + b"\x15\0\0\x80\xbf"  # its text, and its score as a float
    return model + b"\x0a" + varint(len(body)) + body


def test_a_piece_of_a_megabyte_does_not_crash_the_process(tools) -> None:
    """Older versions of the library overflow their stack where they load it."""

    def load(size: int) -> str:
        try:
            return str(SentencePieceTokenizer.from_bytes(with_piece(TOKENIZERS[0].to_bytes(), b"q" * size)).size)
        except DataError as error:
            return str(error)

    assert tools.in_child(lambda: load(20)) == (0, str(TOKENIZERS[0].size + 1))
    for size in (200_000, 1_000_000):
        assert tools.in_child(lambda: load(size)) == (0, "not a SentencePiece model, or a damaged one")  # noqa: B023
