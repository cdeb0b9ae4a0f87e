"""Averages of weights, which generalise better than the weights after any single update."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

EVERY = 8
"""Updates between two refreshes of the moving average: one reads and writes all weights, some 5 % of an update."""


class MovingAverage:
    """Exponential moving average of the parameters.

    (Polyak and Juditsky 1992; for translation Junczys-Dowmunt et al. 2018.)

    decay: share kept at each update. It rises from zero with the number of updates n as (1 + n) / (10 + n), so that
    early weights are soon forgotten. The random initial weights have no share at all: the average is corrected for
    their bias as in Adam (Kingma and Ba 2015, section 3), so that the shares of the other weights sum to one.

    weights: the average, after the first refresh. start: the share that is taken out, 1 before the first refresh.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.start = decay, 1.0
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def refresh(self, model: nn.Module, update: int) -> None:
        """Take the weights after this update into account."""
        if update % EVERY:
            return
        decay = min(self.decay, (1 + update) / (10 + update)) ** EVERY
        self.start *= decay
        live, share = model.state_dict(), (1 - decay) / (1 - self.start)
        torch._foreach_lerp_(list(self.weights.values()), [live[name] for name in self.weights], share)

    def of(self, model: nn.Module) -> dict[str, Tensor]:
        """The average; before the first refresh the weights of the model itself."""
        return model.state_dict() if self.start == 1.0 else self.weights

    def is_new(self, update: int, since: int) -> bool:
        """Whether `of` gives other weights after this update than after an earlier one, `since`."""
        return self.start == 1.0 or update // EVERY > since // EVERY

    def restore(self, weights: Mapping[str, Tensor], start: float) -> None:
        """Go on from these weights."""
        self.start = start
        for name, tensor in self.weights.items():
            tensor.copy_(weights[name])


def mean_weights(checkpoints: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The plain mean of several sets of weights (summed in float64, one set in memory at a time).

    Older checkpoints hold a tied table under each of its names, so names that some of the checkpoints lack are left
    out.
    """
    checkpoints = iter(checkpoints)
    first = next(checkpoints)
    sums = {name: tensor.to(torch.float64, copy=True) for name, tensor in first.items()}
    count = 1
    for weights in checkpoints:
        count += 1
        sums = {name: total for name, total in sums.items() if name in weights}
        for name, total in sums.items():
            total += weights[name]
    return {name: (total / count).to(first[name].dtype) for name, total in sums.items()}
