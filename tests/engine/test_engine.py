"""The decoding engine computes what the model computes, in every number type, whoever else is in the batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from family import MEMBERS, build

from s2s_cli.data.batches import padded
from s2s_cli.errors import UsageError
from s2s_cli.model.building import build_model
from s2s_cli.model.decoding import Decoding
from s2s_cli.model.engine import ENGINES, _tell_of_slowness, build_engine
from s2s_cli.model.engine.arithmetic import ARITHMETICS
from s2s_cli.model.engine.attention_gru import AttentionGRUEngine, EngineState
from s2s_cli.model.engine.shortlist import Shortlist
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.native import library
from s2s_cli.recipe import schema
from s2s_cli.search.step_model import greatest
from s2s_cli.text.tokenizer import BOS, EOS

CPU = torch.device("cpu")
VOCABULARY = 333  # no multiple of a vector, nor of a group of symbols
TOLERANCE = {"fp32": 1e-5, "bf16": 0.1, "int8": 0.15}  # of a log-probability


QUERIES = ("previous", "intermediate")


def model(query: str = "previous", **choices: object):
    """A model of odd widths, with weights as large as trained ones, the biases too."""
    torch.manual_seed(3)
    attention = {"size": 19, "query": query}
    sizes = {"embedding": 13, "encoder": {"hidden": 11}, "decoder": {"hidden": 37}, "attention": attention}
    return with_biases(build_model(schema.Model.model_validate(sizes | choices), 50, VOCABULARY).eval())


def with_biases(model: Seq2Seq) -> Seq2Seq:
    for name, parameter in model.decoder.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def engine(name: str, query: str = "previous") -> AttentionGRUEngine:
    with torch.inference_mode():
        return AttentionGRUEngine(model(query), ARITHMETICS[name], torch.float32)


def shortlisted(name: str, symbols: list[int]) -> AttentionGRUEngine:
    """With the same shortlist for all sources."""
    shortlist = Shortlist(torch.tensor([symbols[:5]] * 50), torch.tensor(symbols[5:]))
    with torch.inference_mode():
        return AttentionGRUEngine(model(), ARITHMETICS[name], torch.float32, shortlist)


def sources(*lengths: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(4)
    return padded([draw.integers(4, 50, length - 1) for length in lengths])


def follow(decoder, source_BS, lengths_B):
    """Log-probabilities and attention along a search that splits, reorders, and lets a sentence leave."""
    B = len(source_BS)
    state, steps = decoder.start(source_BS, lengths_B), []
    for previous_BK, origin_BK, kept_b in (
        (np.full((B, 1), BOS), np.zeros((B, 3), np.int64), np.arange(B)),
        (np.array([[7, 8, 9]] * B), np.array([[2, 0, 0]] * B), np.arange(B)[B > 1 :]),
        (np.array([[5, 5, 330]] * (B - (B > 1))), None, None),
    ):
        step, state = decoder.step(previous_BK, state)
        steps.append((step.log_probs(), step.attention_BKS))
        if origin_BK is not None:
            state = state.select(kept_b).reorder(origin_BK[kept_b])
    return steps


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("name", ARITHMETICS)
def test_it_computes_what_the_model_computes(name: str, query: str) -> None:
    batch = sources(9, 4, 6)
    reference = Decoding(model(query))
    for expected, found in zip(follow(reference, *batch), follow(engine(name, query), *batch), strict=True):
        np.testing.assert_allclose(found[0], expected[0], atol=TOLERANCE[name], rtol=0)
        np.testing.assert_allclose(found[1], expected[1], atol=TOLERANCE[name] / 5, rtol=0)


@pytest.mark.parametrize("query", QUERIES)
def test_in_8_bits_a_row_is_the_same_bit_for_bit_alone_and_in_a_batch(query: str) -> None:
    source_BS, lengths_B = sources(9, 4, 6)
    decoder = engine("int8", query)
    together = follow(decoder, source_BS, lengths_B)
    alone = follow(decoder, source_BS[1:2, :4], lengths_B[1:2])
    for step, (log_probs_BKV, attention_BKS) in enumerate(alone):
        row = 1 if step < 2 else 0  # the first sentence has left
        assert np.array_equal(together[step][0][row], log_probs_BKV[0])
        assert np.array_equal(together[step][1][row][:, :4], attention_BKS[0])


@pytest.mark.parametrize("name", ARITHMETICS)
@pytest.mark.parametrize("count", [1, 5, 70, VOCABULARY])
def test_the_best_symbols_are_those_of_a_sort(name: str, count: int) -> None:
    decoder = engine(name)
    step, _ = decoder.step(np.full((3, 1), BOS), decoder.start(*sources(9, 4, 6)))
    log_probs_BKC, symbols_BKC, ends_BK = step.best(EOS + 1, count, EOS)
    expected_BKC, _ = greatest(step.log_probs()[:, :, EOS + 1 :], count)
    np.testing.assert_allclose(log_probs_BKC, expected_BKC, atol=1e-5, rtol=0)
    np.testing.assert_allclose(ends_BK, step.log_probs()[:, :, EOS], atol=1e-5, rtol=0)
    of_symbols_BKC = np.take_along_axis(step.log_probs(), symbols_BKC, axis=2)
    np.testing.assert_allclose(of_symbols_BKC, log_probs_BKC, atol=1e-5, rtol=0)
    assert all(len(set(row)) == len(row) for row in symbols_BKC[0].tolist())


def test_a_state_is_never_changed() -> None:
    decoder = engine("int8")
    state = decoder.start(*sources(5, 3))
    before: EngineState = copy.deepcopy(state)
    decoder.step(np.full((2, 1), BOS), state)
    assert torch.equal(state.state_BKH, before.state_BKH)
    assert torch.equal(state.operand_BKH, before.operand_BKH)


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS.keys())
def test_the_engine_takes_the_members_that_it_knows_and_no_others(member: schema.Model) -> None:
    known = (
        member.decoder.context == "attention"
        and (member.cell, member.layer_norm, member.decoder.layers) == ("gru", False, 1)
        and (member.attention.score, member.attention.query, member.attention.heads) == ("additive", "previous", 1)
        and not member.attention.coverage
        and member.output == "softmax"
    )
    built = build_engine("auto", build(member), CPU, torch.float32)
    assert isinstance(built, AttentionGRUEngine) == known
    if not known:
        with pytest.raises(UsageError, match="this model is another"):
            build_engine("fast", build(member), CPU, torch.float32)


def test_that_no_engine_fits_is_said_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "load", object)
    _tell_of_slowness.cache_clear()
    build_engine("auto", model(), CPU, torch.float32)
    build_engine("reference", model(output="copy"), CPU, torch.float32)
    assert capsys.readouterr() == ("", "")
    for _ in range(2):
        build_engine("auto", model(output="copy"), CPU, torch.float32)
    said = capsys.readouterr().err.splitlines()
    assert said == ["no engine fits this model: PyTorch decodes by it, with the same results but slower"]


def test_8_bits_are_chosen_only_where_they_are_harmless() -> None:
    def chosen(harmless: bool) -> str:
        built = build_engine("auto", model(), CPU, torch.float32, int8_is_harmless=harmless)
        assert isinstance(built, AttentionGRUEngine)
        return built.arithmetic.name

    assert (chosen(True), chosen(False)) == ("int8", "float32")
    with pytest.raises(UsageError, match="unknown engine `int4`"):
        build_engine("int4", model(), CPU, torch.float32)
    assert set(ENGINES) == {"auto", "reference", "fast", "int8"}


def test_a_weight_of_zeros_and_a_row_of_zeros_are_no_trouble_in_8_bits() -> None:
    arithmetic = ARITHMETICS["int8"]
    rows = arithmetic.room(2, 4)
    rows.values_RN.zero_()
    assert rows.scales_R is not None
    rows.scales_R.zero_()
    assert torch.equal(arithmetic.dense(torch.zeros(3, 4))(rows).numbers(), torch.zeros(2, 3))


SHORT = [4, 17, 200, 332, 3, 55, 56, 57, 300]


@pytest.mark.parametrize("name", ARITHMETICS)
def test_a_shortlist_shares_the_probability_among_its_symbols(name: str) -> None:
    previous_B1, batch = np.full((3, 1), BOS), sources(9, 4, 6)
    whole, short = engine(name), shortlisted(name, SHORT)
    expected = whole.step(previous_B1, whole.start(*batch))[0].log_probs()
    step, _ = short.step(previous_B1, short.start(*batch))
    symbols, others = sorted(SHORT), [symbol for symbol in range(VOCABULARY) if symbol not in SHORT]
    shares = torch.from_numpy(expected[..., symbols]).log_softmax(dim=2)
    np.testing.assert_allclose(step.log_probs()[..., symbols], shares, atol=TOLERANCE[name] / 5, rtol=0)
    assert (step.log_probs()[..., others] == -np.inf).all()

    log_probs_BKC, symbols_BKC, ends_BK = step.best(EOS + 1, 4, EOS)
    best_BKC, indices_BKC = greatest(step.log_probs()[..., EOS + 1 :], 4)
    assert np.array_equal(symbols_BKC, indices_BKC + EOS + 1)
    np.testing.assert_allclose(log_probs_BKC, best_BKC, rtol=1e-5)
    np.testing.assert_allclose(ends_BK, step.log_probs()[..., EOS], rtol=1e-5)


def test_each_sentence_has_the_list_of_its_own_symbols() -> None:
    candidates_VC = torch.tensor([[0, 3], [5, 6], [9, 8], [9, 1]])
    shortlist = Shortlist(candidates_VC, torch.tensor([7, 8]))
    symbols_BN, counts_B = shortlist.lists(torch.tensor([[1, 2], [0, 0], [3, 1]]), torch.tensor([2, 1, 1]))
    assert counts_B.tolist() == [6, 3, 4]
    assert symbols_BN.tolist() == [[3, 5, 6, 7, 8, 9], [3, 7, 8, 3, 3, 3], [3, 7, 8, 9, 3, 3]]


def test_only_an_engine_can_have_a_shortlist() -> None:
    with pytest.raises(UsageError, match="--shortlist needs an engine"):
        build_engine(
            "reference", model(), CPU, torch.float32, shortlist=Shortlist(torch.zeros(50, 1), torch.tensor([7]))
        )
