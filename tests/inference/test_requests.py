"""Requests: what a translation must and must not contain, and how it begins, over models that would write otherwise."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from dataclasses import replace
from functools import cache
from io import BytesIO

import numpy as np
import pytest
from copy_model import copy_translator
from gibberish import BEAM, TOKENIZERS, WORDS, RandomModel, cased, gibberish, subwords, text_of, times
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli import Request
from s2s_cli.errors import DataError, ExitCode, UsageError, UserError
from s2s_cli.inference.demands import Demand, shared_out
from s2s_cli.inference.dividing import Part
from s2s_cli.inference.guides import Guides
from s2s_cli.inference.memory import Lookup, TranslationMemory
from s2s_cli.inference.output import OutputOptions
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translation import OF_OUTPUT, Candidate, Translation
from s2s_cli.inference.translator import Translator
from s2s_cli.inference.vocabulary import Vocabulary
from s2s_cli.search.guidance import Guide, Guided, Opening
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.text.sentencepieces import SentencePieceTokenizer, train_sentencepiece
from s2s_cli.text.tokenizer import BOS, EOS, TokenizerPair, mark_name


def assert_met(request: Request, text: str) -> None:
    for phrase, count in Counter(request.constraints).items():
        assert times(phrase, text) >= count, (request, text)
    for phrase in request.avoid:
        assert not times(phrase, text.lower() if phrase == phrase.lower() else text), (request, text)
    assert text.startswith(request.prefix), (request, text)


KINDS = st.sampled_from(sorted(TOKENIZERS))
PLAIN = [word for word in WORDS if word.isalpha()]
PHRASES = st.lists(st.sampled_from(PLAIN), min_size=1, max_size=3).map(" ".join)
REQUESTS = st.builds(
    Request,
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join),
    st.lists(PHRASES, max_size=3).map(tuple),
    st.lists(PHRASES, max_size=2).map(tuple),
    st.lists(st.sampled_from(PLAIN), max_size=3).map(" ".join),
)


def is_consistent(request: Request) -> bool:
    return not any(
        times(avoided, text.lower() if avoided == avoided.lower() else text)
        for avoided in request.avoid
        for text in (*request.constraints, request.prefix)
    )


@settings(max_examples=20)
@given(KINDS, st.lists(REQUESTS.filter(is_consistent), min_size=1, max_size=4))
def test_every_demand_is_met_whatever_the_batch(kind: str, requests: list[Request]) -> None:
    translator = gibberish(kind)
    together = translator.translate(requests)
    for request, translation in zip(requests, together, strict=True):
        for phrase in request.constraints:
            assert times(phrase, translation.text)
        assert translation.text.startswith(request.prefix)
        [alone] = translator.translate([request])
        assert alone.text == translation.text
        assert alone.score == pytest.approx(translation.score, abs=1e-4)


@settings(max_examples=20)
@given(KINDS, REQUESTS.map(lambda request: replace(request, constraints=())).filter(is_consistent), st.integers(1, 5))
def test_what_is_to_be_avoided_is_avoided(kind: str, request: Request, cut: int) -> None:
    for options in (BEAM, SearchOptions(beam=1), replace(BEAM, n_best=3, sampling=SamplingOptions(seed=cut))):
        shorter = replace(request, prefix=request.prefix[:-cut])
        if kind == "words":  # a prefix of part of a word is that of a word there
            shorter = request
        if is_consistent(shorter):
            [translation] = gibberish(kind).translate([shorter], options)
            for candidate in translation.n_best:
                if candidate.finished:
                    assert_met(shorter, candidate.text)


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_prefix_that_ends_with_a_space_ends_its_word(kind: str) -> None:
    for words in ("the", "a car", "an"):
        for source in ("man car", "red - red", "is"):
            [translation] = gibberish(kind).translate([Request(source, prefix=f"{words} ")], SearchOptions(beam=3))
            assert translation.text.startswith(f"{words} ")
            assert len(translation.text) > len(words) + 1


def test_the_last_word_of_a_prefix_may_go_on() -> None:
    found = {
        translation.text
        for seed in range(40)
        for translation in gibberish("subwords").translate(
            [Request("the man", prefix="the ca")], replace(BEAM, sampling=SamplingOptions(seed=seed))
        )
    }
    assert all(text.startswith("the ca") for text in found)
    assert any(re.match("the cars? ", text) for text in found)


@pytest.mark.parametrize("prefix", ["the Ma", "M", "Mc", "McR", "an", "Anna", "U", "US", "us", "cAR", "red - R", "Ma "])
def test_a_mark_of_case_comes_where_the_last_word_of_a_prefix_ends(prefix: str) -> None:
    """What a prefix begins in capitals goes on to its mark; and none comes after what it has in lower case."""
    found = set()
    for options in (BEAM, SearchOptions(beam=1), replace(BEAM, n_best=4, sampling=SamplingOptions(seed=3))):
        for translation in gibberish("cased").translate([Request(x, prefix=prefix) for x in ("is", "a car")], options):
            found |= {candidate.text for candidate in translation.n_best}
    assert all(text.startswith(prefix) for text in found)
    assert prefix.endswith(" ") or any(text[len(prefix) :][:1].isalpha() for text in found)


def test_a_translation_may_end_with_the_prefix() -> None:
    """In a state that only some symbols lead on from, the end is one of them."""
    opening = Guides(Vocabulary(cased(), "en")).wanted(Demand(prefix="the man")).guide
    guided = Guided(RandomModel(cased().size), [opening])
    source = np.array([[9, EOS]]), np.array([2])
    assert any(EOS in each[0] for each in opening.opening.choices)  # type: ignore[union-attr]
    state, symbols = guided.start(*source), [BOS, *cased().encode(["the man"])[0]]
    for symbol in symbols:
        step, state = guided.step(np.array([[symbol]]), state)
    _, best_BKC, ends_BK = step.best(EOS + 1, 50, EOS)
    assert EOS not in best_BKC and np.isfinite(ends_BK).all()
    log_probs_BKV = step.log_probs()
    assert np.isfinite(log_probs_BKV[..., EOS]).all()
    assert not np.isfinite(log_probs_BKV[..., cased().case_marks[:2]]).any()


def test_a_translation_may_end_where_one_symbol_could_follow() -> None:
    """In some sentences of a batch; in others that symbol must."""
    choices = ((np.array([EOS, 9]), np.array([1, 1])),), ((np.array([9]), np.array([1])),)
    guides = [Guide(Opening(each, (9,), 1)) for each in choices]
    guided = Guided(RandomModel(cased().size), guides)
    state = guided.start(np.array([[9, EOS]] * 2), np.array([2, 2]))
    _, symbols_BKC, ends_BK = guided.step(np.array([[BOS]] * 2), state)[0].best(EOS + 1, 5, EOS)
    assert symbols_BKC[:, 0, 0].tolist() == [9, 9]
    assert np.isfinite(ends_BK[:, 0]).tolist() == [True, False]


def test_more_times_of_a_phrase_are_demanded_by_saying_so() -> None:
    for count in (1, 2, 3):
        [translation] = gibberish("subwords").translate([Request("is", ("red car",) * count)])
        assert times("red car", translation.text) >= count


@pytest.mark.parametrize("case_markup", [False, True])
def test_marks_that_vanish_end_no_words(case_markup: bool) -> None:
    """What a model writes after a mark for a span that the sentence does not have goes on with the word before it."""
    tokenizer = tagged(case_markup=case_markup)
    model = RandomModel(tokenizer.size)
    model.table[:, tokenizer.marks] += 3
    translator = Translator(model, TokenizerPair(tokenizer, tokenizer), options=BEAM)
    requests = [Request(text, (phrase,)) for text in text_of(4, 20) for phrase in ("man", "red car", "us")]
    marks, written = {*tokenizer.pieces(tokenizer.marks)}, 0
    for request, translation in zip(requests, translator.translate(requests), strict=True):
        assert_met(request, translation.text)
        written += not marks.isdisjoint(translation.n_best[0].tokens)
    assert written > len(requests) / 2


def test_longer_words_are_no_phrase() -> None:
    """In lower case it is any case, else that case."""
    vocabulary = Vocabulary(subwords(), "en")
    assert vocabulary.contains("a red car.", "car")
    assert vocabulary.contains("Car, red", "car")
    assert not vocabulary.contains("cars caravan", "car")
    assert not vocabulary.contains("give us", "US")
    assert vocabulary.contains("give US", "us")
    assert Vocabulary(subwords(), "zh").contains("cars", "car")  # where words are not divided


@cache
def tagged(*, case_markup: bool) -> SentencePieceTokenizer:
    lines = [line.replace("man", "Man") if case_markup else line for line in text_of(1)]
    return train_sentencepiece(
        lines,
        model="bpe" if case_markup else "unigram",
        vocabulary=60,
        character_coverage=1.0,
        tags=[mark_name(1), mark_name(2)],
        case_markup=case_markup,
    )


def plainly_banned(
    vocabulary: Vocabulary, texts: list[str], written: list[int], symbol: int, phrases: list[str]
) -> bool:
    """By the text: whether it has a phrase that it had not before."""
    before, after = ("".join(texts[index] for index in ids).replace("▁", " ") for ids in (written, [*written, symbol]))
    return any(count(vocabulary, after, phrase) > count(vocabulary, before, phrase) for phrase in phrases)


def count(vocabulary: Vocabulary, text: str, phrase: str) -> int:
    return sum(
        text[place : place + len(phrase)].lower() == phrase
        and not (place and text[place - 1].isalnum())
        and not (place + len(phrase) < len(text) and text[place + len(phrase)].isalnum())
        for place in range(len(text))
    )


@settings(max_examples=20)
@given(st.lists(PHRASES.map(str.lower), min_size=1, max_size=3), st.data())
def test_symbols_are_banned_as_the_text_says(phrases: list[str], data: st.DataObject) -> None:
    """Symbol by symbol, those are banned that complete a phrase, and no others; tags are no text."""
    tokenizer = tagged(case_markup=False)
    vocabulary = Vocabulary(tokenizer, "en")
    texts, pieces = vocabulary.texts, range(EOS + 1, tokenizer.size)
    guide = Guides(vocabulary).wanted(Demand(avoid=tuple(phrases))).guide
    leads = Guided(RandomModel(tokenizer.size), [guide])._leads.avoided
    assert leads is not None
    state, written = leads.first_B, []
    for _ in range(8):
        banned = {symbol for symbol in pieces if plainly_banned(vocabulary, texts, written, symbol, phrases)}
        assert set(leads.banned(state)[1].tolist()) == banned
        allowed = [symbol for symbol in pieces if symbol not in banned]
        written.append(data.draw(st.sampled_from([*allowed, *tokenizer.marks * 9])))
        state = leads.after(state, np.array(written[-1:]))


CASED = st.sampled_from("man men a car us us Anna Us US Man MAN McRed cars red".split())


@settings(max_examples=10)
@given(st.lists(st.lists(CASED, min_size=1, max_size=2).map(" ".join), min_size=1, max_size=3), st.data())
def test_symbols_in_case_markup_are_banned_as_the_text_says(phrases: list[str], data: st.DataObject) -> None:
    """However wrong their marks are: where the case of a phrase counts, it may be the mark that completes it."""
    tokenizer = tagged(case_markup=True)
    vocabulary, pieces = Vocabulary(tokenizer, "en"), range(EOS + 1, tokenizer.size)
    guide = Guides(vocabulary).wanted(Demand(avoid=tuple(phrases))).guide
    leads = Guided(RandomModel(tokenizer.size), [guide])._leads.avoided
    assert leads is not None

    def counts(written: list[int]) -> list[int]:
        read = [index for index in written if index not in tokenizer.marks]
        text = tokenizer.spelled(tokenizer.pieces(read)).replace("▁", " ")
        return [times(phrase, text.lower() if phrase == phrase.lower() else text) for phrase in phrases]

    state, written = leads.first_B, []
    for _ in range(8):
        before = counts(written)
        banned = {
            symbol
            for symbol in pieces
            if any(after > so_far for after, so_far in zip(counts([*written, symbol]), before, strict=True))
        }
        assert set(leads.banned(state)[1].tolist()) == banned
        allowed = [symbol for symbol in pieces if symbol not in banned]
        written.append(data.draw(st.sampled_from([*allowed, *tokenizer.marks * 9])))
        state = leads.after(state, np.array(written[-1:]))


def test_of_long_lists_little_is_noted() -> None:
    """Not for each state all symbols in which some phrase could begin."""
    words = {"".join(letters) for letters in itertools.product("acmnrs", repeat=3)}
    avoided = Guides(Vocabulary(subwords(), "en")).wanted(Demand(avoid=tuple(sorted(words)))).guide.avoided
    assert avoided is not None
    assert avoided.states > len(words) and len(avoided.keys_X) < 2 * avoided.states


@pytest.mark.parametrize("kind", sorted(TOKENIZERS))
def test_what_no_symbol_has_need_not_be_avoided(kind: str) -> None:
    translator = gibberish(kind)
    [one, other] = translator.translate(["the man", Request("the man", avoid=("☃",))])
    assert one.text == other.text


def test_workers_do_the_same() -> None:
    requests = [Request(text, ("red car",), prefix="the ", others={"n": n}) for n, text in enumerate(text_of(3, 120))]
    alone, shared = gibberish("subwords"), gibberish("subwords", workers=2)
    with shared:
        for one, other in zip(alone.translate(requests), shared.translate(requests, batch_tokens=200), strict=True):
            assert (one.text, one.others) == (other.text, other.others)


def test_demands_concern_the_whole_line() -> None:
    """A line of several sentences is kept whole, or its demands are shared out if it is too long."""
    line = "Anna is driving. " * 12
    requests = [Request(line, ("red car", "Anna", "us"), prefix="a "), Request("Anna is red. Anna is a man.", ("US",))]
    translator = gibberish("subwords")
    assert [len(source.parts) for source in translator.reader.read(requests)] == [12, 1]
    for request, translation in zip(requests, translator.translate(requests), strict=True):
        assert_met(request, translation.text)


@pytest.mark.parametrize(
    ("demands", "parts"),
    [
        ({"prefix": "a red"}, 2),
        ({"avoid": ("red car", "us")}, 2),
        ({"prefix": "a red. Anna"}, 1),
        ({"prefix": "a red. "}, 1),
        ({"prefix": "a red."}, 2),
        ({"avoid": ("car. Anna",)}, 1),
        ({"constraints": ("us",)}, 1),
    ],
)
def test_only_what_concerns_more_than_a_sentence_joins_them(demands: dict[str, tuple[str, ...]], parts: int) -> None:
    request, translator = Request("Anna is red. The man drives.", **demands), gibberish("subwords")
    [source] = translator.reader.read([request])
    assert len(source.parts) == parts
    assert_met(request, translator.translate([request])[0].text)


def test_demands_are_shared_out_in_their_order() -> None:
    demand = Demand(("a", "b", "c"), ("x",), "p")
    shared = shared_out(demand, [Part(" ", []), Part("d", [4]), Part("e", [5])])
    assert [part.demand for part in shared] == [None, Demand(("a", "b"), ("x",), "p"), Demand(("c",), ("x",), "")]


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (Request("a", ("Straße",)), "the model cannot write 'ß' of the constraint 'Straße'"),
        (Request("a", prefix="ß"), "the model cannot write 'ß' of the prefix"),
        (Request("a", prefix="the ▁car"), "the model cannot write '▁' of the prefix"),
        (Request("a", ("red▁car",)), "the model cannot write '▁' of the constraint"),
        (Request("a", avoid=("red▁car",)), "the model cannot write '▁' of the phrase to avoid"),
        (Request("a", ("",)), "an empty constraint"),
        (Request("a", avoid=(" ",)), "an empty phrase to avoid"),
        (Request("a", ("red car",), ("car",)), "the constraint 'red car' has what is to be avoided, 'car'"),
        (Request("a", (), ("car",), "the car is"), "the prefix 'the car is' has what is to be avoided, 'car'"),
        (Request(" ", ("car",)), "an empty text has no translation"),
        (Request("\u200b", prefix="the"), "an empty text has no translation"),
        (Request("a", ("car",) * 51), "no more than 50 constraints"),
        (Request("a", avoid=("ab" * 251,)), "a phrase to avoid has no more than 500 characters, not 502"),
        (Request("a", ("\ud800",)), "lone surrogate"),
    ],
)
def test_demands_that_cannot_be_met_are_told(request_: Request, what: str) -> None:
    with pytest.raises(DataError) as raised:
        gibberish("subwords").translate([Request("a"), request_])
    assert what in str(raised.value)
    assert raised.value.where == "line 2"


def test_one_string_is_no_list_of_phrases() -> None:
    for request in (Request("a", "car"), Request("a", avoid="car")):
        with pytest.raises(TypeError, match="not one string"):
            gibberish("subwords").translate([request])


@pytest.mark.parametrize(
    "options",
    [replace(BEAM, sampling=SamplingOptions()), replace(BEAM, groups=2), SearchOptions(beam=1)],
    ids=["sample", "diverse", "greedy"],
)
def test_searches_that_cannot_honour_constraints_are_refused(options: SearchOptions) -> None:
    with pytest.raises(UsageError):
        gibberish("subwords").translate([Request("a", ("car",))], options)
    [translation] = gibberish("subwords").translate([Request("a", avoid=("car",), prefix="the re")], options)
    assert translation.text.startswith("the re")


# ------------------------------------------------------------------------------------------------------------ streams


def stream(lines: bytes, **output: object) -> str:
    sink = BytesIO()
    translator = copy_translator()
    search = replace(translator.options, beam=3)
    translate_stream(translator, BytesIO(lines), sink, search, OutputOptions(requests=True, **output))
    return sink.getvalue().decode()


def test_a_stream_of_requests_is_written_as_text_or_json() -> None:
    lines = b'{"text": "Abc", "id": [1, "\\ud800"]}\n'
    lines += b'{"text": "", "doc": null}\n{"text": "aB", "prefix": "AbC"}'
    assert stream(lines) == "aBC\n\nAbC\n"
    records = [json.loads(line) for line in stream(lines, format="json").splitlines()]
    assert [record["translation"] for record in records] == ["aBC", "", "AbC"]
    assert records[0]["id"] == [1, "\ud800"]
    assert records[1]["doc"] is None


def test_a_field_of_the_output_is_no_field_of_a_request() -> None:
    """Where there is such an output: one of them would be lost."""
    whole = Translation("a", [Candidate("b", 0.0, [])] * 2, protected=["c"], origin="model")
    assert json.loads(whole.to_json(0, min_confidence=0.5)).keys() == OF_OUTPUT
    for name in OF_OUTPUT:
        line = json.dumps({"text": "Abc", name: 1}).encode()
        assert stream(line) == "aBC\n"
        with pytest.raises(DataError, match=f"`{name}` could not be passed through"):
            stream(line, format="json")


@pytest.mark.parametrize(
    ("line", "what", "code"),
    [
        (b'{"text": ', "not JSON at column 10", ExitCode.DATA),
        (b"", "not JSON at column 1", ExitCode.DATA),
        (b"[]", "not a JSON object", ExitCode.DATA),
        (b'{"text": "a", "id": 1e999}', "not JSON: 1e999 is no number of JSON", ExitCode.DATA),
        (b"{}", "text: this key is missing", ExitCode.DATA),
        (b'{"text": 1, "avoid": "x"}', "text: give text, not 1; avoid: give a list, not the text 'x'", ExitCode.DATA),
        (b'{"text": "a", "constraints": ["#"]}', "the model cannot write '#'", ExitCode.DATA),
        (b'{"text": "a", "constraint": ["b"]}', "did you mean `constraints`?", ExitCode.DATA),
        (b'{"text": "a", "Prefix": "b"}', "`Prefix` is none of a request (did you mean `prefix`?", ExitCode.DATA),
        (b"[" * 100_000, "not JSON", ExitCode.DATA),
        pytest.param(b'{"text": "%s"}' % (b"a" * (1 << 20)), "longer than 1 MiB", ExitCode.DATA, id="long"),
    ],
)
def test_a_line_that_is_no_request_ends_the_stream(line: bytes, what: str, code: ExitCode) -> None:
    sink, translator = BytesIO(), copy_translator()
    lines = b'{"text": "Abc"}\n' + line + b'\n{"text": "d"}\n'
    with pytest.raises(UserError) as raised:
        translate_stream(translator, BytesIO(lines), sink, BEAM, OutputOptions(requests=True))
    assert what in str(raised.value)
    assert (raised.value.where, raised.value.exit_code) == ("<stdin>:2", code)
    assert sink.getvalue() == b"aBC\n"


@pytest.mark.parametrize("kind", ["characters", "subwords"])
def test_without_spaces_any_place_counts(kind: str) -> None:
    translator = gibberish(kind, "zh")
    requests = [Request("the man", ("car", "red"), ("s",), "an"), Request("is us", ("dr", "dr"), ("a", "e"))]
    first, second = (translation.text for translation in translator.translate(requests))
    assert first.startswith("an") and "car" in first and "red" in first and "s" not in first.lower()
    assert second.count("dr") >= 2 and not {"a", "e"} & set(second.lower())


def test_a_memory_is_not_asked_where_more_is_demanded() -> None:
    plain = gibberish("subwords")
    translator = Translator(plain.model, plain.tokenizers, options=BEAM)
    translator.reader = replace(translator.reader, memory=Lookup(TranslationMemory([("the man", "us")])))
    requests = [Request("the man", others={"id": 1}), Request("the man", ("red car",), others={"id": 2})]
    taken, made = translator.translate(requests)
    assert (taken.text, taken.origin, taken.others) == ("us", "memory", {"id": 1})
    assert (made.origin, made.others) == ("model", {"id": 2})
    assert times("red car", made.text)
