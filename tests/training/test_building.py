"""The optimiser that a recipe's `training` section describes."""

from __future__ import annotations

import torch
from tiny import tiny_model, tiny_trainer

from s2s_cli.recipe import schema
from s2s_cli.training.building import build_optimizer


def test_weight_decay_shrinks_matrices_and_leaves_biases_and_norms_alone():
    model = tiny_model(layer_norm=True)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(model, schema.Training(weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step(0.1)
    for name, parameter in model.named_parameters():
        alone = name.endswith("bias") or "_norm." in name or name.endswith("energy")
        torch.testing.assert_close(parameter, before[name] * (1.0 if alone else 0.95), msg=name)


def test_the_optimiser_knows_each_parameter_once_and_its_moments_are_found_by_name():
    trainer, other = tiny_trainer(), tiny_trainer()
    for each in (trainer, other):
        each.optimizer = build_optimizer(each.model, schema.Training(weight_decay=0.5))
    assert sorted(map(id, trainer.optimizer.parameters)) == sorted(map(id, trainer.parameters))
    for parameter in trainer.parameters:
        parameter.grad = torch.full_like(parameter, parameter.numel())
    trainer.optimizer.step(0.1)
    other.restore(trainer.snapshot())
    for mine, theirs in zip(trainer.parameters, other.parameters, strict=True):
        assert torch.equal(trainer.optimizer.state[mine]["exp_avg"], other.optimizer.state[theirs]["exp_avg"])
