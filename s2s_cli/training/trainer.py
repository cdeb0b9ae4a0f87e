"""The trainer: all that changes while training, one update at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.checkpoint.snapshot import Snapshot
from s2s_cli.data.batches import Batch
from s2s_cli.errors import DataError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.averaging import EVERY, MovingAverage
from s2s_cli.training.gradients import add_gradients, parts_of
from s2s_cli.training.loss import sequence_loss
from s2s_cli.training.process_group import ALONE, ProcessGroup, restore_streams, stream_states
from s2s_cli.training.schedule import Patience, Schedule
from s2s_cli.training.team import Team, shares

MOST_SKIPPED = 20
"""Updates in a row with a gradient that is not finite, before training stops."""


@dataclass
class Position:
    """Where training stands."""

    update: int = 0
    """Updates that are done."""
    epoch: int = 0
    """Epochs that are complete."""
    batch: int = 0
    """Batches that are done of the next epoch; 0 at the edge between two epochs."""
    validated: int = 0
    """The update after which the last validation was."""
    skipped: int = 0
    """Updates in a row whose gradient was not finite."""

    @property
    def epochs_begun(self) -> int:
        return self.epoch + (self.batch > 0)

    def end_epoch(self) -> None:
        """The epoch has no more batches."""
        self.epoch, self.batch = self.epoch + 1, 0


class Update(NamedTuple):
    """What one update found, as sums over its target tokens."""

    nll: float
    tokens: int
    gradient_norm: float
    learning_rate: float

    @property
    def skipped(self) -> bool:
        """Whether the weights were left as they are, because the gradient was broken."""
        return not math.isfinite(self.gradient_norm)


class Trainer:
    """Model, optimiser, schedule, average and position; `snapshot` and `restore` carry all of it.

    All processes of a group have the same, except for their random numbers: they call the same methods in the same
    order, each with its share of the batches.
    """

    def __init__(
        self,
        model: Seq2Seq,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        patience: Patience,
        average: MovingAverage | None,
        *,
        dtype: torch.dtype,
        smoothing: float,
        clip_norm: float | None,
        group: ProcessGroup = ALONE,
    ) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.patience, self.average = patience, average
        self.dtype, self.smoothing, self.clip_norm = dtype, smoothing, clip_norm
        self.group = group
        self.parameters = list(model.parameters())
        self.team = Team()
        self.position = Position()

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def update(self, batches: Sequence[Batch]) -> Update:
        """One update from the summed gradients of some batches; any of them may be empty, if others have its pairs."""
        self.model.train()
        nll, tokens = 0.0, 0
        for batch in batches:
            for part_nll, part_tokens in add_gradients(self.parameters, self._backward, batch):
                nll, tokens = nll + part_nll, tokens + part_tokens
        nll, tokens = self.group.sum_gradients(self.optimizer, nll, tokens)
        gradient_norm = self._mean_gradient(tokens)
        rate = self._apply(gradient_norm)
        self.optimizer.zero_grad(set_to_none=True)
        self.position.batch += len(batches)
        return Update(nll, tokens, gradient_norm, rate)

    def autocast(self) -> torch.autocast:
        """Matrix products in the chosen number type. Without a cache of weights, which threads would share."""
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype, enabled=enabled, cache_enabled=False)

    def _backward(self, batch: Batch) -> tuple[float, int]:
        """Sum the gradients over the tokens of a batch; its −log p and the number of tokens."""
        count = shares(len(batch.pairs)) if self.device.type == "cpu" else 1
        parts = self.team.map(self._gradients, parts_of(batch, count))
        for gradients, _, _ in parts:  # in this order, for a sum depends on it
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                if gradient is not None:
                    parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        return sum(nll for _, nll, _ in parts), sum(tokens for _, _, tokens in parts)

    def _gradients(self, batch: Batch) -> tuple[Sequence[Tensor | None], float, int]:
        """Of each parameter the sum over the tokens of a batch; −log p; the number of tokens."""
        with self.autocast():
            loss = sequence_loss(self.model, batch.to(self.device), self.smoothing)
        gradients = torch.autograd.grad(loss.smoothed, self.parameters, allow_unused=True)
        return gradients, loss.nll.item(), loss.tokens

    def _mean_gradient(self, tokens: int) -> float:
        """Turn summed gradients into those of the mean loss per token, clipped; their norm before clipping."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = math.sqrt(self.group.sum_of_shares(torch.nn.utils.get_total_norm(gradients).item() ** 2)) / tokens
        share = 1.0 if self.clip_norm is None else min(1.0, self.clip_norm / (norm + 1e-6))
        if gradients:  # of a process that has its share in them
            torch._foreach_mul_(gradients, share / tokens)  # both in one pass over them, 1 % of an update
        return norm

    def _apply(self, gradient_norm: float) -> float:
        """Let the optimiser make its step, unless the gradient is broken; the learning rate used."""
        position = self.position
        position.update += 1
        rate = self.schedule.rate(position.update)
        if not math.isfinite(gradient_norm):
            position.skipped += 1
            if position.skipped >= MOST_SKIPPED:
                raise DataError(
                    f"the loss was not a finite number in {MOST_SKIPPED} updates in a row, the last being update"
                    f" {position.update}; the last good checkpoint stands",
                    hint="lower training.learning_rate, or train with --set training.precision=fp32",
                )
            return rate
        position.skipped = 0
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.group.finish_step()
        if self.average is not None:
            self.average.refresh(self.model, position.update)
        return rate

    def averaged_weights(self) -> dict[str, Tensor]:
        """The weights to validate and export: the moving average where there is one."""
        return self.model.state_dict() if self.average is None else self.average.of(self.model)

    def snapshot(self, score: float | None = None) -> Snapshot:
        """Everything needed to go on bit for bit. The tensors are those of the trainer: save them before it goes on."""
        return Snapshot(
            step=self.position.update,
            weights=dict(self.model.state_dict()),
            optimizer=self._optimizer_tensors(),
            random=stream_states(self.device, self.group),
            scalars={
                "position": asdict(self.position),
                "schedule": self.schedule.state(),
                "patience": self.patience.state(),
            }
            | ({} if self.average is None else {"average_start": self.average.start}),
            extra={} if self.average is None else {"average": self.average.of(self.model)},
            score=score,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot of a trainer that was built alike."""
        self.model.load_state_dict(snapshot.weights)
        parameters = dict(self.model.named_parameters())
        self.optimizer.state.clear()
        for name, tensor in snapshot.optimizer.items():
            key, _, parameter = name.partition("/")
            self.optimizer.state[parameters[parameter]][key] = tensor.to(self.device, copy=True)
        restore_streams(snapshot.random, self.device, self.group)
        self.position = Position(**snapshot.scalars["position"])
        self.schedule.restore(snapshot.scalars["schedule"])
        self.patience.restore(snapshot.scalars["patience"])
        if self.average is not None:
            before = float(snapshot.step < EVERY)  # when the start was still part of the average: it is as good as gone
            start = snapshot.scalars.get("average_start", before)
            self.average.restore(snapshot.extra.get("average", snapshot.weights), start)

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        return {
            f"{key}/{name}": value
            for name, parameter in self.model.named_parameters()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }
