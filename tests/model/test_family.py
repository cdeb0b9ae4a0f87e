"""What every member of the model family promises."""

from __future__ import annotations

import pytest
import torch
from family import MEMBERS, PAD, SOURCE_SIZE, TARGET_SIZE, Example, build, example, section, unrolled
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call

from s2s_cli.forms import FormError
from s2s_cli.model.attention import SCORES
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema

each_member = pytest.mark.parametrize(
    "member",
    [  # in `make test` every other one
        pytest.param(member, id=name, marks=[pytest.mark.slow] * (place % 2))
        for place, (name, member) in enumerate(MEMBERS.items())
    ],
)


def stepped(model: Seq2Seq, batch: Example) -> Tensor:
    """log p(y_t | y_<t, x) [B, T, V], step by step."""
    state = model.start(batch.source_BS, batch.lengths_B)
    log_probs = []
    for previous_B1 in batch.previous_BT.split(1, dim=1):
        step, state = model.step(previous_B1, state)
        log_probs.append(step.log_probs_BKV)
    return torch.cat(log_probs, dim=1)


def other_words(words: Tensor, size: int) -> Tensor:
    """None of these words; no special symbols."""
    return 4 + (words - 3) % (size - 4)


def assert_equal(left: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=0, atol=1e-10)


@each_member
@torch.no_grad()
@pytest.mark.parametrize("kernel", ["reference", "auto"])
def test_unrolled_training_equals_decoding_by_steps(member: schema.Model, kernel: str) -> None:
    model, batch = build(member, kernel), example()
    assert_equal(unrolled(model, batch), stepped(model, batch))


@each_member
@torch.no_grad()
def test_the_output_depends_on_source_and_previous_words_only(member: schema.Model) -> None:
    model, batch = build(member), example()
    log_probs_BTV = unrolled(model, batch)
    assert log_probs_BTV.shape == (*batch.previous_BT.shape, TARGET_SIZE)
    other_source = unrolled(model, batch._replace(source_BS=other_words(batch.source_BS, SOURCE_SIZE)))
    assert ((log_probs_BTV - other_source).abs().amax(dim=2) > 1e-9).all()
    later = batch.previous_BT.clone()
    later[:, 3:] = other_words(later[:, 3:], TARGET_SIZE)
    change_T = (log_probs_BTV - unrolled(model, batch._replace(previous_BT=later))).abs().amax(dim=(0, 2))
    assert (change_T[:3] == 0).all()
    assert (change_T[3:] > 1e-9).all() == member.decoder.feed_previous


@each_member
@torch.no_grad()
def test_padding_changes_nothing(member: schema.Model) -> None:
    model, batch = build(member), example()
    log_probs_BTV = unrolled(model, batch)
    positions_S = torch.arange(batch.source_BS.shape[1])
    cleared = batch.source_BS.masked_fill(positions_S >= batch.lengths_B[:, None], PAD)
    assert_equal(unrolled(model, batch._replace(source_BS=cleared)), log_probs_BTV)
    longer = nn.functional.pad(batch.source_BS, (0, 3), value=PAD)
    assert_equal(unrolled(model, batch._replace(source_BS=longer)), log_probs_BTV)


@each_member
@torch.no_grad()
def test_a_batch_of_one_equals_a_row_of_a_batch(member: schema.Model) -> None:
    model, batch = build(member), example()
    log_probs_BTV = unrolled(model, batch)
    for row, length in enumerate(batch.lengths_B):
        one = slice(row, row + 1)
        alone = Example(batch.source_BS[one, :length], batch.lengths_B[one], batch.previous_BT[one])
        assert_equal(unrolled(model, alone), log_probs_BTV[one])


@each_member
@torch.no_grad()
def test_a_source_that_is_read_once_serves_several_targets(member: schema.Model) -> None:
    model, batch = build(member, "auto"), example()
    owners = torch.tensor([2, 0, 0, 1, 0])
    previous_NT = batch.previous_BT[torch.tensor([0, 2, 1, 1, 0])]
    decoded = model(batch.source_BS, batch.lengths_B, previous_NT, owners)
    repeated = Example(batch.source_BS[owners], batch.lengths_B[owners], previous_NT)
    log_probs_NTV = unrolled(model, repeated)
    assert_equal(model.output.log_probs(decoded), log_probs_NTV)
    target_NT, valid_NT = previous_NT.roll(-1, 1), torch.ones_like(previous_NT, dtype=torch.bool)
    expected_NT = log_probs_NTV.gather(2, target_NT[:, :, None]).squeeze(2)
    assert_equal(model.output.target_log_probs(decoded, target_NT, valid_NT), expected_NT.flatten())


@each_member
@torch.no_grad()
def test_a_reordered_state_equals_recomputation(member: schema.Model) -> None:
    model, batch = build(member), example()
    state = model.start(batch.source_BS, batch.lengths_B)
    prefixes_BKT = batch.previous_BT[:, :1, None]
    rows_B1 = torch.arange(3)[:, None]
    origins = [[[0, 0, 0]] * 3, [[2, 1, 0], [0, 0, 2], [1, 2, 2]], [[1, 0], [0, 1], [2, 0]]]
    for number, origin in enumerate(origins):
        step, state = model.step(prefixes_BKT[:, :, -1], state)
        origin_BK = torch.tensor(origin)
        state = state.reorder(origin_BK)
        words_BK = (4 + origin_BK + number + torch.arange(origin_BK.shape[1])) % TARGET_SIZE  # a word for each
        prefixes_BKT = torch.cat([prefixes_BKT[rows_B1, origin_BK], words_BK[:, :, None]], dim=2)
    sentences_b = torch.tensor([2, 0])
    step, _ = model.step(prefixes_BKT[sentences_b, :, -1], state.select(sentences_b))

    for row, sentence in enumerate(sentences_b):
        prefixes_KT = prefixes_BKT[sentence]
        repeated = sentence.repeat(len(prefixes_KT))
        anew = unrolled(model, Example(batch.source_BS[repeated], batch.lengths_B[repeated], prefixes_KT))
        assert_equal(step.log_probs_BKV[row], anew[:, -1])


@each_member
@torch.no_grad()
def test_stepping_and_reordering_leave_the_old_state_as_it_was(member: schema.Model) -> None:
    model, batch = build(member), example()
    state = model.start(batch.source_BS, batch.lengths_B)
    first, following = model.step(batch.previous_BT[:, :1], state)
    model.step(batch.previous_BT[:, 1:2], following.reorder(torch.zeros(3, 1, dtype=torch.long)))
    state.select(torch.tensor([1]))
    again, _ = model.step(batch.previous_BT[:, :1], state)
    assert torch.equal(first.log_probs_BKV, again.log_probs_BKV)


@each_member
@torch.no_grad()
def test_attention_is_a_distribution_over_the_words(member: schema.Model) -> None:
    model, batch = build(member), example()
    step, _ = model.step(batch.previous_BT[:, :1], model.start(batch.source_BS, batch.lengths_B))
    if member.decoder.context != "attention":
        assert step.attention_BKS is None
        return
    assert step.attention_BKS is not None
    assert_equal(step.attention_BKS.sum(dim=2), torch.ones(3, 1, dtype=torch.double))
    padding_BS = torch.arange(7) >= batch.lengths_B[:, None]
    assert ((step.attention_BKS[:, 0] == 0) == padding_BS).all()


@each_member
def test_every_parameter_learns(member: schema.Model) -> None:
    model = build(member)
    unrolled(model, example()).square().mean().backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert not idle
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


class LogProbabilities(nn.Module):
    """log p(y_t | y_<t, x), as a function of all parameters."""

    def __init__(self, model: Seq2Seq) -> None:
        super().__init__()
        self.model = model

    def forward(self, *batch: Tensor) -> Tensor:
        return unrolled(self.model, Example(*batch))


TINY = {"embedding": 3, "encoder.hidden": 2, "decoder.hidden": 4, "attention.size": 4}


@pytest.mark.parametrize(
    "choices",
    [
        {"decoder.context": "initial", "decoder.feed_previous": False, "encoder.summary": "last"},
        {"decoder.context": "initial", "encoder.summary": "max"},
        {"decoder.context": "every_step", "decoder.feed_previous": False},
        {"decoder.context": "every_step", "cell": "lstm"},
        {"cell": "gru"},
        {"cell": "lstm", "layer_norm": True, "encoder.bridge": "copy"},
        {"cell": "rnn", "decoder.layers": 2, "decoder.residual": True},
        {"decoder.context": "every_step", "decoder.layers": 2},
        {"attention.coverage": True},
        {"attention.coverage": True, "attention.heads": 2, "attention.query": "current"},
        {"attention.score": "dot", "attention.heads": 2},
        {"attention.score": "scaled_dot"},
        {"attention.score": "general", "tied": "all"},
        {"attention.query": "current"},
        {
            "attention.query": "current",
            "attention.input_feeding": False,
            "attention.score": "general",
            "tied": "target",
        },
    ],
    ids=lambda choices: " ".join(f"{key}={value}" for key, value in choices.items()),
)
def test_gradients_are_those_of_finite_differences(choices: dict[str, object]) -> None:
    module = LogProbabilities(build(section(**TINY | choices)))
    batch = example(lengths=(3, 1), target=3)
    names, parameters = zip(*module.named_parameters(), strict=True)

    def log_probs(*values: Tensor) -> Tensor:
        return functional_call(module, dict(zip(names, values, strict=True)), tuple(batch))

    assert torch.autograd.gradcheck(log_probs, parameters, fast_mode=True)


WIDTH = st.integers(1, 4)
ANY_SECTION = st.fixed_dictionaries(
    {
        "cell": st.sampled_from(["gru", "lstm", "rnn"]),
        "embedding": WIDTH,
        "layer_norm": st.booleans(),
        "tied": st.sampled_from(["none", "target", "all"]),
        "encoder.hidden": WIDTH,
        "encoder.layers": st.integers(1, 2),
        "encoder.bidirectional": st.booleans(),
        "encoder.residual": st.booleans(),
        "encoder.summary": st.sampled_from(["last", "mean", "max"]),
        "encoder.bridge": st.sampled_from(["copy", "dense"]),
        "decoder.hidden": WIDTH,
        "decoder.layers": st.integers(1, 2),
        "decoder.residual": st.booleans(),
        "decoder.context": st.sampled_from(["initial", "every_step", "attention", "attention"]),
        "decoder.feed_previous": st.sampled_from([True, True, False]),
        "attention.score": st.sampled_from(sorted(SCORES)),
        "attention.size": WIDTH,
        "attention.query": st.sampled_from(["previous", "current"]),
        "attention.input_feeding": st.booleans(),
        "attention.heads": st.integers(1, 2),
        "attention.coverage": st.booleans(),
    }
)


@given(ANY_SECTION)
@settings(max_examples=150)
def test_whatever_the_recipe_accepts_can_be_built_and_run(choices: dict[str, object]) -> None:
    try:
        member = section(**choices)
    except FormError:
        return
    with torch.no_grad():
        model, batch = build(member), example(lengths=(3, 1), target=2)
        assert_equal(unrolled(model, batch), stepped(model, batch))
