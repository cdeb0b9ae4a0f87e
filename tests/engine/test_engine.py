"""The engine computes what the model computes, in both number types, whoever else is in the batch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from fitting_models import MEMBERS, SOURCE, TARGET, engine, model

from s2s_cli.data.batches import padded
from s2s_cli.engine import ARITHMETICS, Shortlist
from s2s_cli.engine.passes import log_softmax
from s2s_cli.model.decoding import Decoding
from s2s_cli.native import library
from s2s_cli.search.step_model import greatest
from s2s_cli.text.tokenizer import BOS, EOS

TOLERANCE = {"fp32": 1e-4, "int8": 0.3}  # of a log-probability

each_arithmetic = pytest.mark.parametrize("name", ARITHMETICS)
each_member = pytest.mark.parametrize("member", MEMBERS)


def sources(*lengths: int) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(4)
    return padded([draw.integers(4, SOURCE, length - 1) for length in lengths])


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
        steps.append((step.log_probs(), step.attention_BKS, *step.best(EOS + 1, 5, EOS)))
        if origin_BK is not None:
            state = state.select(kept_b).reorder(origin_BK[kept_b])
    return steps


@each_member
@each_arithmetic
def test_it_computes_what_the_model_computes(name: str, member: str) -> None:
    batch = sources(9, 4, 6, 1)
    reference = Decoding(model(member))
    for expected, found in zip(follow(reference, *batch), follow(engine(name, member), *batch), strict=True):
        np.testing.assert_allclose(found[0], expected[0], atol=TOLERANCE[name], rtol=0)
        np.testing.assert_allclose(found[1], expected[1], atol=TOLERANCE[name] / 5, rtol=0)


@each_member
@each_arithmetic
def test_a_row_is_the_same_bit_for_bit_alone_and_in_a_batch(name: str, member: str) -> None:
    source_BS, lengths_B = sources(9, 4, 6)
    decoder = engine(name, member)
    together = follow(decoder, source_BS, lengths_B)
    alone = follow(decoder, source_BS[1:2, :4], lengths_B[1:2])
    for step, (of_batch, of_one) in enumerate(zip(together, alone, strict=True)):
        row = 1 if step < 2 else 0  # the first sentence has left
        for part, (many, one) in enumerate(zip(of_batch, of_one, strict=True)):
            assert np.array_equal(many[row][:, :4] if part == 1 else many[row], one[0]), part


@each_arithmetic
def test_neither_the_number_of_threads_nor_that_of_rows_changes_anything(name: str) -> None:
    """With more rows than are computed at once."""
    batch = sources(*([7, 3, 5, 6] * 11))
    expected = follow(engine(name, "conditional"), *batch)
    for step, found in zip(expected, follow(engine(name, "conditional", threads=2), *batch), strict=True):
        assert all(map(np.array_equal, step, found))
    alone = follow(engine(name, "conditional"), batch[0][43:, :6], batch[1][43:])
    assert np.array_equal(expected[2][2][-1], alone[2][2][0])


@each_arithmetic
@pytest.mark.parametrize("count", [1, 5, 70, TARGET])
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


def test_a_state_is_never_changed_and_its_step_can_be_made_again() -> None:
    decoder, previous_B1 = engine("int8", "conditional"), np.full((2, 1), BOS)
    state = decoder.start(*sources(5, 3))
    before = copy.copy(state.states_NH)
    first, _ = decoder.step(previous_B1, state)
    expected = first.best(EOS, 5, EOS)
    decoder.step(previous_B1 + 1, state)
    assert np.array_equal(state.states_NH, before)
    again, _ = decoder.step(previous_B1, state)
    for step in (first, again):
        assert all(map(np.array_equal, step.best(EOS, 5, EOS), expected))


@each_member
@each_arithmetic
def test_without_a_library_numpy_computes_the_same(name: str, member: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = sources(9, 4, 6)
    expected = follow(engine(name, member), *batch)
    monkeypatch.setattr(library, "load", lambda: None)
    tolerance = 0.05 if name == "int8" else 1e-4  # where a number lies in the middle it is rounded either way
    for one, other in zip(expected, follow(engine(name, member), *batch), strict=True):
        np.testing.assert_allclose(one[0], other[0], atol=tolerance)
        np.testing.assert_allclose(one[1], other[1], atol=tolerance)


SHORT = [4, 17, 200, 332, 3, 55, 56, 57, 300]


@each_arithmetic
def test_a_shortlist_shares_the_probability_among_its_symbols(name: str) -> None:
    previous_B1, batch = np.full((3, 1), BOS), sources(9, 4, 6)
    whole = engine(name)
    short = engine(name, shortlist=Shortlist(np.array([SHORT[:5]] * SOURCE), np.array(SHORT[5:])))
    expected = whole.step(previous_B1, whole.start(*batch))[0].log_probs()
    step, _ = short.step(previous_B1, short.start(*batch))
    symbols, others = sorted(SHORT), [symbol for symbol in range(TARGET) if symbol not in SHORT]
    shares = log_softmax(expected[:, 0, symbols])[:, None]
    np.testing.assert_allclose(step.log_probs()[..., symbols], shares, atol=1e-4, rtol=0)
    assert (step.log_probs()[..., others] == -np.inf).all()

    log_probs_BKC, symbols_BKC, ends_BK = step.best(EOS + 1, 4, EOS)
    best_BKC, indices_BKC = greatest(step.log_probs()[..., EOS + 1 :], 4)
    assert np.array_equal(symbols_BKC, indices_BKC + EOS + 1)
    np.testing.assert_allclose(log_probs_BKC, best_BKC, rtol=1e-5)
    np.testing.assert_allclose(ends_BK, step.log_probs()[..., EOS], rtol=1e-5)


def test_each_sentence_has_the_list_of_its_own_symbols() -> None:
    candidates_VC = np.array([[0, 3], [5, 6], [9, 8], [9, 1]])
    shortlist = Shortlist(candidates_VC, np.array([7, 8]))
    symbols_BN, counts_B = shortlist.lists(np.array([[1, 2], [0, 0], [3, 1]]), np.array([2, 1, 1]))
    assert counts_B.tolist() == [6, 3, 4]
    assert symbols_BN.tolist() == [[3, 5, 6, 7, 8, 9], [3, 7, 8, 3, 3, 3], [3, 7, 8, 9, 3, 3]]


@each_arithmetic
def test_longer_lists_of_others_change_no_bit(name: str) -> None:
    draw = np.random.default_rng(5)
    candidates_VC = draw.integers(EOS + 1, TARGET, (SOURCE, 40))
    candidates_VC[:25] = 9
    decoder = engine(name, shortlist=Shortlist(candidates_VC, draw.integers(EOS + 1, TARGET, 20)))
    source_BS, lengths_B = padded([[30, 40, 49, 26], [4, 5, 6]])
    together, _ = decoder.step(np.full((2, 1), BOS), decoder.start(source_BS, lengths_B))
    alone, _ = decoder.step(np.full((1, 1), BOS), decoder.start(source_BS[1:, :4], lengths_B[1:]))
    assert np.array_equal(together.log_probs()[1], alone.log_probs()[0])


@each_arithmetic
def test_log_probs_are_of_one_type_whoever_asks(name: str) -> None:
    """A search rounds their sums by it: with a wider one, a forced sentence would have other scores alone."""
    decoder = engine(name)
    step, _ = decoder.step(np.full((2, 1), BOS), decoder.start(*sources(5, 3)))
    found = step.log_probs_of(np.array([0, 1]), np.array([9, 8]))
    assert found.dtype == step.log_probs().dtype == step.best(EOS + 1, 2, EOS)[0].dtype == np.float32
