"""What search is promised by whatever it searches: every model, engine, arithmetic, ensemble and shortlist, through
greedy, beam, sampling and forced scores, is what one hypothesis after the other, alone, says it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import pytest
import torch
from family import MEMBERS, SOURCE_SIZE, build, section

from s2s_cli.data.batches import padded
from s2s_cli.engine import ARITHMETICS, Engine, Form, Shortlist, pack
from s2s_cli.engine import build as build_engine
from s2s_cli.model.building import build_model
from s2s_cli.model.decoding import Decoding
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.native import library
from s2s_cli.recipe import schema
from s2s_cli.search.beam import beam_search
from s2s_cli.search.constrained import constrained_beam_search
from s2s_cli.search.diverse import diverse_beam_search
from s2s_cli.search.ensemble import Ensemble
from s2s_cli.search.greedy import greedy_search
from s2s_cli.search.guidance import Admitting, Guide, Guided, forced
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.search.phrases import Phrase
from s2s_cli.search.sampling import sample
from s2s_cli.search.scoring import forced_log_probs
from s2s_cli.search.step_model import StepModel
from s2s_cli.text.tokenizer import BOS, EOS

VOCABULARY = 90  # a group of symbols, and some more
SENTENCES = [[5, 6, 7, 8, 9, 10, 4], [4], [9, 9, 5], [6, 10, 7, 5]]
OPTIONS = SearchOptions(beam=3, n_best=2, max_length_ratio=0.8, max_length_offset=3, min_length=1)
CLOSE = 1e-4  # of a log-probability of a whole sentence


SIZES = {"embedding": 13, "encoder.hidden": 11, "decoder.hidden": 37, "attention.size": 19}


def fitting(seed: int = 3, **choices: str) -> Seq2Seq:
    """A model that the engine fits, in float32."""
    torch.manual_seed(seed)
    model = build_model(section(**SIZES, **choices), SOURCE_SIZE, VOCABULARY).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model


def reference(seed: int = 3) -> Decoding:
    return Decoding(fitting(seed))


def member_of(section: schema.Model) -> Decoding:
    return Decoding(build(section, "reference"))


def engine(
    name: str, *, shortlisted: bool = False, seed: int = 3, forbidden: Collection[int] = (), **choices: str
) -> Engine:
    draw = np.random.default_rng(1)
    candidates_VC = draw.integers(0, VOCABULARY, (SOURCE_SIZE, 4))
    shortlist = Shortlist(candidates_VC, np.array([7, 30])) if shortlisted else None
    model = fitting(seed, **choices)
    form = Form.of(section(**SIZES, **choices).values(), SOURCE_SIZE, VOCABULARY)
    arrays = pack({name: tensor.numpy() for name, tensor in model.state_dict().items()}, form, name)
    return build_engine(form, arrays, name, forbidden=forbidden, shortlist=shortlist)


def engines(*names: str, shortlisted: bool = False) -> Ensemble:
    return Ensemble([engine(name, shortlisted=shortlisted, seed=seed) for seed, name in enumerate(names, start=3)])


OTHERS = {"deep": {"encoder.layers": 2}, "conditional": {"attention.query": "intermediate"}}
ENGINES: dict[str, Callable[[], StepModel]] = {
    f"{name}{' shortlist' * shortlisted}": functools.partial(engine, name, shortlisted=shortlisted)
    for name in ARITHMETICS
    for shortlisted in (False, True)
} | {
    f"{name} {other}": functools.partial(engine, name, **choices)
    for name in ARITHMETICS
    for other, choices in OTHERS.items()
}
ENSEMBLES: dict[str, Callable[[], StepModel]] = {
    "ensemble of models": lambda: Ensemble([reference(3), reference(4)]),
    **{
        f"ensemble of {name}{' shortlist' * shortlisted}": functools.partial(
            engines, name, name, shortlisted=shortlisted
        )
        for name in ARITHMETICS
        for shortlisted in (False, True)
    },
    "ensemble of two arithmetics": functools.partial(engines, *ARITHMETICS),
    "ensemble of unlike ones": lambda: Ensemble([engine("int8"), reference(4), engine("fp32", shortlisted=True)]),
}
REFERENCES: dict[str, Callable[[], StepModel]] = {
    name: functools.partial(member_of, member) for name, member in MEMBERS.items()
} | {"float32": reference}
SUBJECTS = ENGINES | ENSEMBLES | REFERENCES
LATER = {name for place, name in enumerate(MEMBERS) if place % 8}  # of the family, an eighth each time
each_subject = pytest.mark.parametrize(
    "subject",
    [pytest.param(make, id=name, marks=[pytest.mark.slow] * (name in LATER)) for name, make in SUBJECTS.items()],
)


class Plain:
    """The same model, asked for one sentence and one hypothesis at a time, for all log-probabilities."""

    def __init__(self, model: StepModel, sentence: list[int], admitted: Collection[int] = ()) -> None:
        self.model, self.sentence = model, sentence
        self.states = {(): (np.array([[BOS]]), model.start(*padded([sentence]), [admitted]))}
        self.tables: dict[tuple[int, ...], list[float]] = {}

    def log_probs(self, ids: tuple[int, ...]) -> list[float]:
        if ids not in self.tables:
            if ids not in self.states:
                self.log_probs(ids[:-1])
                self.states[ids] = np.array([[ids[-1]]]), self.states[ids[:-1]][1]
            previous_B1, state = self.states[ids]
            step, following = self.model.step(previous_B1, state)
            self.tables[ids] = step.log_probs()[0, 0].tolist()
            self.states[ids] = previous_B1, following
        return self.tables[ids]

    def forced(self, symbols: list[int]) -> float:
        return sum(self.log_probs(tuple(symbols[:place]))[symbol] for place, symbol in enumerate(symbols))

    @property
    def limit(self) -> int:
        return int(len(self.sentence) * OPTIONS.max_length_ratio) + OPTIONS.max_length_offset

    def greedy(self) -> list[int]:
        symbols: list[int] = []
        while len(symbols) < self.limit and EOS not in symbols:
            log_probs = self.log_probs(tuple(symbols))
            first = EOS if len(symbols) >= OPTIONS.min_length else EOS + 1
            symbols.append(max(range(first, len(log_probs)), key=log_probs.__getitem__))
        return symbols

    def beam(self) -> list[tuple[list[int], float]]:
        """Symbols and scores: the finished hypotheses, best first."""
        is_open: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
        finished: list[tuple[list[int], float]] = []
        for length in range(1, self.limit + 1):
            tables = [(log_prob, ids, self.log_probs(ids)) for log_prob, ids in is_open]
            extended = [(p + table[s], (*ids, s)) for p, ids, table in tables for s in range(EOS + 1, len(table))]
            pieces = sorted(extended, reverse=True)[: OPTIONS.beam]
            ends = [(p + table[EOS], ids) for p, ids, table in tables] if length > OPTIONS.min_length else []
            least = sorted([p for p, _ in pieces] + [p for p, _ in ends], reverse=True)[: OPTIONS.beam][-1]
            found = [([*ids, EOS], p / OPTIONS.penalty(length)) for p, ids in ends if p >= least and p > -torch.inf]
            finished, is_open = finished + found, pieces
            if len(finished) >= OPTIONS.beam:
                break
        return sorted(finished, key=lambda each: -each[1])[: OPTIONS.n_best]


def symbols_of(hypothesis: Hypothesis) -> list[int]:
    return hypothesis.ids + [EOS] * hypothesis.finished


@each_subject
def test_greedy(subject: Callable[[], StepModel]) -> None:
    model = subject()
    for sentence, [found] in zip(SENTENCES, greedy_search(model, *padded(SENTENCES), OPTIONS), strict=True):
        plain = Plain(model, sentence)
        assert symbols_of(found) == plain.greedy()
        assert found.log_prob == pytest.approx(plain.forced(symbols_of(found)), abs=CLOSE)


@each_subject
def test_beam(subject: Callable[[], StepModel]) -> None:
    model = subject()
    for sentence, found in zip(SENTENCES, beam_search(model, *padded(SENTENCES), OPTIONS), strict=True):
        plain = Plain(model, sentence)
        finished = [hypothesis for hypothesis in found if hypothesis.finished]
        expected = plain.beam()
        assert [symbols_of(hypothesis) for hypothesis in finished] == [symbols for symbols, _ in expected]
        for hypothesis, (_, score) in zip(finished, expected, strict=True):
            assert hypothesis.score == pytest.approx(score, abs=CLOSE)
        for hypothesis in found:
            assert hypothesis.log_prob == pytest.approx(plain.forced(symbols_of(hypothesis)), abs=CLOSE)


@each_subject
def test_diverse_beam(subject: Callable[[], StepModel]) -> None:
    model, options = subject(), replace(OPTIONS, beam=4, groups=2, n_best=4)
    found = diverse_beam_search(model, *padded(SENTENCES), options)
    for sentence, together in zip(SENTENCES, found, strict=True):
        [alone] = diverse_beam_search(model, *padded([sentence]), options)
        assert [symbols_of(each) for each in alone] == [symbols_of(each) for each in together]
        plain = Plain(model, sentence)
        for hypothesis in together:
            assert hypothesis.log_prob == pytest.approx(plain.forced(symbols_of(hypothesis)), abs=CLOSE)


@each_subject
def test_sampling(subject: Callable[[], StepModel]) -> None:
    model, options = subject(), replace(OPTIONS, n_best=3, sampling=SamplingOptions(temperature=0.8))
    drawn = sample(model, *padded(SENTENCES), options)
    for sentence, found in zip(SENTENCES, drawn, strict=True):
        plain = Plain(model, sentence)
        assert len(found) == 3
        for hypothesis in found:
            assert hypothesis.log_prob == pytest.approx(plain.forced(symbols_of(hypothesis)), abs=CLOSE)
    again = sample(model, *padded(SENTENCES[:1]), options)  # alone
    assert [symbols_of(each) for each in again[0]] == [symbols_of(each) for each in drawn[0]]
    sharpest = sample(model, *padded(SENTENCES), replace(options, sampling=SamplingOptions(top_k=1)))
    assert [symbols_of(found[0]) for found in sharpest] == [Plain(model, each).greedy() for each in SENTENCES]


@each_subject
def test_forced_scores(subject: Callable[[], StepModel]) -> None:
    model = subject()
    targets = [[5, 9, 7, EOS], [EOS], [12, EOS], [4, 4, 4, 4, 8, 11, EOS]]
    target_BT, _ = padded([target[:-1] for target in targets])
    found = forced_log_probs(model, *padded(SENTENCES), target_BT).tolist()
    expected = [Plain(model, each).forced(target) for each, target in zip(SENTENCES, targets, strict=True)]
    assert found == pytest.approx(expected, abs=CLOSE)


@each_subject
def test_few_log_probabilities_are_those_of_all(subject: Callable[[], StepModel]) -> None:
    model = subject()
    _, state = model.step(np.full((4, 1), BOS), model.start(*padded(SENTENCES)))
    step, _ = model.step(np.array([[5, 9], [7, 4], [4, 5], [8, 8]]), state.reorder(np.zeros((4, 2), np.int64)))
    V = model.vocabulary
    rows_P = np.concatenate([np.arange(8), np.full(V, 3), np.arange(8)])  # many symbols of one row
    symbols_P = np.concatenate([np.full(8, EOS), np.arange(V), np.arange(8) + 5])
    told_P = step.log_probs_of(rows_P, symbols_P)
    expected_P = step.log_probs().reshape(8, V)[rows_P, symbols_P]
    is_text_P = symbols_P >= EOS
    np.testing.assert_allclose(told_P[is_text_P], expected_P[is_text_P], atol=2e-5)


@each_subject
def test_phrases_come_and_beginnings_are_kept(subject: Callable[[], StepModel]) -> None:
    """A shortlist admits what is demanded, and lines without demands are what they are without these lines."""
    model = subject()
    phrases = [[Phrase((8, 9)), Phrase((9, 10))], [], [Phrase((11,), 2)], []]
    guides = [Guide(), Guide(forced([12, 6])), Guide(forced([7, 12])), Guide()]
    admitted = [{8, 9, 10}, (), {11}, ()]
    led = Guided(Admitting(model, admitted), guides)
    kinds = np.zeros((2, model.vocabulary), bool)  # no symbol goes on with a word, and all have text
    found = constrained_beam_search(led, *padded(SENTENCES), OPTIONS, phrases, *kinds, np.array([0, 2, 2, 0]))
    for hypothesis in found[0]:
        text = " ".join(map(str, hypothesis.ids))
        assert "8 9" in text
        assert "9 10" in text
    assert all(hypothesis.ids[:2] == [12, 6] for hypothesis in found[1])
    assert all(hypothesis.ids[:2] == [7, 12] and hypothesis.ids.count(11) >= 2 for hypothesis in found[2])
    assert all(np.isfinite(hypothesis.log_prob) for each in found for hypothesis in each)
    [_, _, _, plain] = beam_search(model, *padded(SENTENCES), OPTIONS)
    assert [symbols_of(each) for each in found[3]] == [symbols_of(each) for each in plain]
    for sentence, also, each in zip(SENTENCES, [{8, 9, 10}, {12, 6}, {11, 7, 12}, ()], found, strict=True):
        for hypothesis in each:
            expected = Plain(model, sentence, also).forced(symbols_of(hypothesis))
            assert hypothesis.log_prob == pytest.approx(expected, abs=CLOSE)


@each_subject
def test_batch_mates_and_order_change_nothing(subject: Callable[[], StepModel]) -> None:
    model = subject()
    together = beam_search(model, *padded(SENTENCES), OPTIONS)
    reversed_ = beam_search(model, *padded(SENTENCES[::-1]), OPTIONS)[::-1]
    alone = [beam_search(model, *padded([sentence]), OPTIONS)[0] for sentence in SENTENCES]
    for first, second, third in zip(together, reversed_, alone, strict=True):
        assert [symbols_of(each) for each in first] == [symbols_of(each) for each in second]
        assert [symbols_of(each) for each in first] == [symbols_of(each) for each in third]
        for one, two, three in zip(first, second, third, strict=True):
            assert (two.score, three.score) == (pytest.approx(one.score, abs=CLOSE),) * 2


@pytest.mark.parametrize("search", [greedy_search, beam_search])
def test_the_engine_in_float32_finds_what_the_model_finds(search: Callable) -> None:
    for one, other in zip(
        *(search(m, *padded(SENTENCES), OPTIONS) for m in (engine("fp32"), reference())), strict=True
    ):
        assert [symbols_of(each) for each in one] == [symbols_of(each) for each in other]
        assert [each.score for each in one] == pytest.approx([each.score for each in other], abs=CLOSE)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a.attention, b.attention, atol=CLOSE)


@pytest.mark.parametrize("name", ENGINES.keys())
def test_without_a_compiler_the_engine_finds_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = replace(OPTIONS, n_best=1)
    expected = beam_search(ENGINES[name](), *padded(SENTENCES), options)
    monkeypatch.setattr(library, "load", lambda: None)
    tolerance = 2e-3 if "int8" in name else CLOSE  # where a number is rounded either way
    for one, other in zip(expected, beam_search(ENGINES[name](), *padded(SENTENCES), options), strict=True):
        assert other[0].score == pytest.approx(one[0].score, abs=tolerance)
        assert symbols_of(one[0]) == symbols_of(other[0])


def without(symbols: Collection[int]) -> list[StepModel]:
    """Models of each kind that never write these symbols."""
    model = fitting(4)
    model.forbid(symbols)
    alone: list[StepModel] = [Decoding(model), *(engine(name, forbidden=symbols) for name in ARITHMETICS)]
    short = engine("int8", shortlisted=True, forbidden=symbols)
    return [*alone, short, Ensemble(alone), Ensemble(alone[1:2] * 2)]


@pytest.mark.parametrize("has_library", [True, False])
def test_no_beam_is_so_wide_that_it_writes_what_is_forbidden(
    has_library: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_library:
        monkeypatch.setattr(library, "load", lambda: None)
    tags, wide = [20, 30], SearchOptions(beam=99, n_best=99, max_length_ratio=1, max_length_offset=0)
    for model in without(tags):
        [found] = beam_search(model, *padded([[5]]), wide)
        assert len(found) > 3
        assert all(each.log_prob > -1e4 and not {*tags} & {*each.ids} for each in found)
