"""Vocabularies that are extended by the pieces of others."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.errors import DataError
from s2s_cli.recipe import schema
from s2s_cli.text.sentencepieces import SentencePieceTokenizer
from s2s_cli.text.symbols import WordTokenizer
from s2s_cli.text.tokenizer import SYMBOLS, TERM_TAGS, UNK, Tokenizer, TokenizerPair, mark_name
from s2s_cli.text.training import require_same_algorithms, train_tokenizers

GERMAN = [
    "Ein kleines Mädchen klettert in ein Spielhaus aus Holz.",
    "Zwei Männer stehen am Herd und bereiten Essen zu.",
    "Mehrere Männer mit Schutzhelmen bedienen ein Antriebsradsystem.",
] * 5
ENGLISH = [
    "A little girl climbing into a wooden playhouse.",
    "Several men in hard hats are operating a giant pulley system.",
    "Two men are at the stove preparing food, in hard hats.",
] * 5
KINDS = {
    "unigram": {"model": "unigram"},
    "bpe": {"model": "bpe"},
    "character": {"kind": "character"},
    "word": {"kind": "word"},
}


def _trained(kind: str, lines: list[str]) -> Tokenizer:
    config = schema.Tokenizer.read({"vocabulary": 120, **KINDS[kind]})
    return train_tokenizers(config, lines, []).source


OLD = {kind: _trained(kind, GERMAN) for kind in KINDS}
NEW = {kind: _trained(kind, ENGLISH) for kind in KINDS}
EXTENDED = {kind: OLD[kind].extended(NEW[kind]) for kind in KINDS}
every_kind = pytest.mark.parametrize("kind", KINDS)
WORDS = sorted({word for line in GERMAN + ENGLISH for word in line.split()})


def _all(tokenizer: Tokenizer) -> list[str]:
    return tokenizer.pieces(range(tokenizer.size))


@every_kind
def test_the_old_ids_stay_and_lacking_pieces_follow_in_their_order(kind: str) -> None:
    old, new, both = (_all(each[kind]) for each in (OLD, NEW, EXTENDED))
    assert both == [*old, *(piece for piece in new if piece not in old)]
    assert len(old) < len(both) < len(old) + len(new) - len(SYMBOLS)


@every_kind
def test_text_of_both_is_known_and_comes_back(kind: str) -> None:
    again = type(EXTENDED[kind]).from_bytes(EXTENDED[kind].to_bytes())
    for line, ids in zip(GERMAN + ENGLISH, again.encode(GERMAN + ENGLISH), strict=True):
        assert UNK not in ids and again.decode(ids) == line


def test_the_scores_of_bpe_stay_ranks() -> None:
    tokenizer = EXTENDED["bpe"]
    assert isinstance(tokenizer, SentencePieceTokenizer) and tokenizer.algorithm == "bpe"
    assert list(tokenizer.scores().values()) == [-rank for rank in range(tokenizer.size - len(SYMBOLS))]


@every_kind
def test_what_lacks_nothing_stays_as_it_is(kind: str) -> None:
    assert EXTENDED[kind].extended(NEW[kind]).to_bytes() == EXTENDED[kind].to_bytes()


def _known_line(kind: str, words: list[str]) -> str:
    """The words that the old vocabulary can write."""
    return " ".join(word for word in words if UNK not in OLD[kind].encode([word])[0])


def _ends(tokenizer: Tokenizer, line: str) -> set[int]:
    """Where pieces end, in characters."""
    ends, position = set(), 0
    for piece in tokenizer.pieces(tokenizer.encode([line])[0]):
        position += len(piece)
        ends.add(position)
    return ends


@settings(max_examples=50)
@given(words=st.lists(st.sampled_from(WORDS), max_size=9))
def test_the_pieces_of_bpe_are_only_joined_further(words: list[str]) -> None:
    line = _known_line("bpe", words)
    assert _ends(EXTENDED["bpe"], line) <= _ends(OLD["bpe"], line)


@settings(max_examples=50)
@given(words=st.lists(st.sampled_from(WORDS), max_size=9))
def test_a_unigram_segmentation_is_at_least_as_probable_as_before(words: list[str]) -> None:
    line = _known_line("unigram", words)
    assert _log_prob(EXTENDED["unigram"], line) >= _log_prob(OLD["unigram"], line) - 1e-4


def _log_prob(tokenizer: Tokenizer, line: str) -> float:
    """Of the segmentation."""
    assert isinstance(tokenizer, SentencePieceTokenizer)
    scores = tokenizer.scores()
    return sum(scores[index] for index in tokenizer.encode([line])[0])


@pytest.mark.parametrize("kind", ["unigram", "character"])
def test_algorithms_are_not_mixed(kind: str) -> None:
    with pytest.raises(DataError, match=f"'{kind}' cannot be extended by one of 'bpe'"):
        OLD[kind].extended(NEW["bpe"])
    config = schema.Tokenizer.read(KINDS["bpe"])
    with pytest.raises(DataError, match=f"the model's source side is '{kind}', that of the recipe 'bpe'"):
        require_same_algorithms(config, TokenizerPair(OLD[kind], OLD[kind]))
    require_same_algorithms(schema.Tokenizer.read(KINDS[kind]), TokenizerPair(OLD[kind], OLD[kind]))


def test_pairs_are_as_joint_as_the_new_one() -> None:
    a, b, c, d = (WordTokenizer([*letters]) for letters in ("ab", "bc", "cd", "de"))
    separate, joint = TokenizerPair(a, b), TokenizerPair(c, c)

    def symbols(pair: TokenizerPair) -> tuple[str, str]:
        return "".join(_all(pair.source)[len(SYMBOLS) :]), "".join(_all(pair.target)[len(SYMBOLS) :])

    assert symbols(separate.extended(TokenizerPair(c, d))) == ("abcd", "bcde")
    assert symbols(joint.extended(separate)) == ("cdab", "cdb")
    together = separate.extended(TokenizerPair(d, d))
    assert together.joint and symbols(together) == ("abcde", "abcde")
    assert joint.extended(TokenizerPair(a, a)).joint


@every_kind
def test_tags_are_extended_by_tags(kind: str) -> None:
    config = schema.Tokenizer.read({"vocabulary": 120, **KINDS[kind]})
    tagged = train_tokenizers(config, ENGLISH, [], ["<a>", "<b>"]).source
    both = OLD[kind].extended(tagged)
    again = type(both).from_bytes(both.to_bytes())
    assert again.tags == {"<a>": _all(both).index("<a>"), "<b>": _all(both).index("<b>")}
    assert min(again.tags.values()) >= OLD[kind].size
    assert tagged.extended(OLD[kind]).tags == tagged.tags and again.extended(tagged).tags == again.tags
    [ids] = again.encode(["<a> men <b>"])
    assert not set(ids) & set(again.tags.values())
    assert again.decode([*again.tags.values(), *again.encode(["Two men"])[0]]) == "Two men"


@every_kind
def test_an_extended_vocabulary_has_the_marks_and_term_tags_of_the_other(kind: str) -> None:
    config = schema.Tokenizer.read({"vocabulary": 120, **KINDS[kind]})
    marked = train_tokenizers(config, ENGLISH, [], TERM_TAGS, [mark_name(1), mark_name(2)]).source
    extended = type(OLD[kind]).from_bytes(OLD[kind].extended(marked).to_bytes())
    assert [extended.pieces([mark]) for mark in extended.marks] == [[mark_name(1)], [mark_name(2)]]
    assert extended.pieces(extended.term_tags or ()) == list(TERM_TAGS)
    assert sorted(extended.unwritten) == sorted(extended.term_tags or ())
    assert not set(extended.encode([f"Holz {mark_name(1)} {TERM_TAGS[1]}"])[0]) & set(extended.tags.values())
