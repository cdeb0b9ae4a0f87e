"""The recipe's `model` section: what does not go together is refused, in words that say what to change."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from family import section

from s2s_cli.forms import FormError, fields
from s2s_cli.model.attention import SCORES
from s2s_cli.model.building import build_model, build_without_weights
from s2s_cli.recipe import schema


def test_the_recipe_knows_every_score() -> None:
    assert get_args(fields(schema.Attention)["score"]) == tuple(SCORES)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"decoder.feed_previous": False}, ["decoder.feed_previous: true", "`attention`"]),
        ({"encoder.bridge": "copy", "decoder.hidden": 6}, ["encoder.bridge `copy`", "decoder.hidden = 8", "not 6"]),
        (
            {"encoder.bridge": "copy", "decoder.hidden": 6, "decoder.context": "initial"},
            ["encoder.bridge `copy`", "decoder.hidden = 8", "not 6"],
        ),
        ({"attention.score": "dot", "encoder.bidirectional": False}, ["`dot`", "decoder.hidden = 4", "not 8"]),
        ({"attention.score": "scaled_dot", "decoder.hidden": 6}, ["`scaled_dot`", "decoder.hidden = 8", "not 6"]),
        ({"attention.score": "dot", "attention.coverage": True}, ["attention.coverage", "`additive`", "`dot`"]),
        ({"attention.coverage_loss": 1.0}, ["attention.coverage_loss", "attention.coverage: true"]),
        ({"attention.heads": 4, "attention.size": 10}, ["attention.heads = 4", "attention.size = 10"]),
        ({"attention.heads": 5, "encoder.hidden": 5}, ["attention.heads = 5", "decoder.hidden = 8"]),
        ({"attention.heads": 5, "decoder.hidden": 5}, ["attention.heads = 5", "width of the encoder = 8"]),
        ({"cell": "tanh"}, ["gru", "lstm", "rnn"]),
        ({"attention.score": "concat"}, ["additive", "dot", "scaled_dot", "general"]),
        ({"attention.heads": 0}, ["attention.heads: must be at least 1"]),
        ({"dropout.state": 1.0}, ["less than 1"]),
        (
            {"dropout.target_words": 0.1, "decoder.context": "initial", "decoder.feed_previous": False},
            ["dropout.target_words", "decoder.feed_previous: true"],
        ),
        ({"dropout.source_words": 1.0}, ["less than 1"]),
        ({"attention.hidden": 4}, ["attention.hidden: unknown key"]),
    ],
)
def test_wrong_combinations_are_refused_with_the_keys_named(choices: dict[str, object], words: list[str]) -> None:
    with pytest.raises(FormError) as raised:
        section(**choices)
    assert [word for word in words if word not in str(raised.value)] == []


def test_all_that_does_not_go_together_is_told_at_once() -> None:
    with pytest.raises(FormError) as raised:
        section(**{"encoder.bridge": "copy", "decoder.hidden": 7, "attention.score": "dot", "attention.heads": 2})
    for part in ("encoder.bridge", "attention.score", "attention.heads = 2 must divide decoder.hidden = 7"):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    "choices",
    [
        {"encoder.bridge": "copy", "decoder.hidden": 6, "decoder.context": "every_step"},  # which has no bridge
        {"attention.score": "dot", "decoder.hidden": 6, "decoder.context": "initial"},  # which has no attention
        {"attention.heads": 3, "decoder.context": "every_step"},
        {"attention.heads": 4, "attention.size": 10, "attention.score": "general"},  # which has no size
        {"encoder.residual": True, "decoder.residual": True},  # of one layer: nothing to add
        {"attention.input_feeding": True},  # with `query: previous`: nothing to feed
    ],
)
def test_keys_that_a_member_does_not_use_do_no_harm(choices: dict[str, object]) -> None:
    for path, value in choices.items():
        part = section(**choices).values()
        for key in path.split("."):
            part = part[key]
        assert part == value


def test_the_defaults_go_together() -> None:
    assert schema.Model() == schema.Model.read(schema.Model().values())


def test_a_model_whose_weights_are_to_be_loaded_takes_no_memory_and_draws_nothing():
    before = torch.get_rng_state()
    model = build_without_weights(schema.Model(), 50, 60)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.is_meta for parameter in model.parameters())
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in build_model(schema.Model(), 50, 60).state_dict().items()}
