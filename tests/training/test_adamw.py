"""The optimiser against that of torch, to the last bit."""

from __future__ import annotations

import torch
from torch import nn

from s2s_cli.training.adamw import AdamW


def parameters() -> list[nn.Parameter]:
    torch.manual_seed(1)
    return [nn.Parameter(torch.randn(shape)) for shape in [(7, 5), (33, 16), (5,), (1,)]]


def test_it_is_that_of_torch_with_its_decays_rates_and_gradients_that_come_and_go():
    ours, theirs = parameters(), parameters()
    optimizer = AdamW([(ours[:2], 0.3), (ours[2:], 0.0)], betas=(0.8, 0.95))
    groups = [{"params": theirs[:2], "weight_decay": 0.3}, {"params": theirs[2:], "weight_decay": 0.0}]
    reference = torch.optim.AdamW(groups, betas=(0.8, 0.95), fused=True)
    for step in range(12):
        for index, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
            gradient = torch.randn_like(mine)
            there_is = (step + index) % 3 > 0
            mine.grad, other.grad = (gradient.clone(), gradient.clone()) if there_is else (None, None)
        for group in reference.param_groups:
            group["lr"] = 0.1 / (step + 1)
        optimizer.step(0.1 / (step + 1))
        reference.step()
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other)
            assert optimizer.state[mine].keys() == reference.state[other].keys()
            assert all(torch.equal(value, reference.state[other][key]) for key, value in optimizer.state[mine].items())


def test_no_gradient_is_left_when_they_are_forgotten():
    [weight, *others] = parameters()
    weight.grad = torch.ones_like(weight)
    AdamW([([weight, *others], 0.0)], betas=(0.9, 0.98)).forget_gradients()
    assert weight.grad is None
