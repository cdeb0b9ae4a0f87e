"""The trainer: the state that changes during training, and one update at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.checkpoint.snapshot import Snapshot
from s2s_cli.errors import DataError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.adamw import AdamW
from s2s_cli.training.averaging import EVERY, MovingAverage
from s2s_cli.training.batches import Batch
from s2s_cli.training.gradients import add_gradients
from s2s_cli.training.initial import Origin
from s2s_cli.training.objective import Objective
from s2s_cli.training.process_group import ALONE, ProcessGroup
from s2s_cli.training.random_streams import restore_streams, stream_states
from s2s_cli.training.schedule import Patience, Schedule
from s2s_cli.training.team import Gradients, Team, shares

MOST_SKIPPED = 20
"""Consecutive updates with a gradient that is not finite after which training stops."""


@dataclass
class Position:
    """The position of training."""

    update: int = 0
    """Number of updates made."""
    epoch: int = 0
    """Number of complete epochs."""
    batch: int = 0
    """Batches processed in the current epoch; 0 between two epochs, and where one starts again."""
    epoch_end: int = 0
    """The update that completed the last epoch."""
    validated: int = 0
    """The update of the last validation."""
    skipped: int = 0
    """Consecutive updates whose gradient was not finite."""

    @property
    def epochs_begun(self) -> int:
        return self.epoch + (self.batch > 0)

    def end_epoch(self) -> None:
        """Mark the current epoch as complete."""
        self.epoch, self.batch, self.epoch_end = self.epoch + 1, 0, self.update


class Update(NamedTuple):
    """The figures of one update, as sums over its target tokens."""

    nll: float
    tokens: int
    gradient_norm: float
    learning_rate: float

    @property
    def skipped(self) -> bool:
        """Whether the weights were not updated, because the gradient was not finite."""
        return not math.isfinite(self.gradient_norm)


class Trainer:
    """Model, optimiser, schedule, average and position; `snapshot` and `restore` include all of them.

    All processes of a group have the same state except for their random numbers, and for the average, which the first
    one alone validates and saves: they call the same methods in the same order, each with its share of the batches.
    """

    def __init__(
        self,
        model: Seq2Seq,
        optimizer: AdamW,
        schedule: Schedule,
        patience: Patience,
        average: MovingAverage | None,
        *,
        dtype: torch.dtype,
        objective: Objective,
        clip_norm: float | None,
        group: ProcessGroup = ALONE,
        origin: Origin | None = None,
    ) -> None:
        self.model, self.optimizer, self.schedule = model, optimizer, schedule
        self.patience, self.average = patience, average
        self.dtype, self.objective, self.clip_norm = dtype, objective, clip_norm
        self.group, self.origin = group, origin
        self.parameters = list(model.parameters())
        self.team = Team(self._gradients, self.parameters, forks=group is ALONE)
        self.position = Position()

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def update(self, batches: Sequence[Batch]) -> Update:
        """One update from the summed gradients of some batches; a batch may be empty if other processes have its
        pairs."""
        self.model.train()
        nll, tokens = 0.0, 0
        for batch in batches:
            for part_nll, part_tokens in add_gradients(self.parameters, self._backward, batch):
                nll, tokens = nll + part_nll, tokens + part_tokens
        nll, tokens = self.group.sum_gradients(self.optimizer, nll, tokens)
        gradient_norm = self._mean_gradient(tokens)
        rate = self._apply(gradient_norm)
        self.optimizer.forget_gradients()
        self.position.batch += len(batches)
        return Update(nll, tokens, gradient_norm, rate)

    def autocast(self) -> torch.autocast:
        """Matrix products in the chosen number type, without the cache of weights, which threads would share."""
        enabled = self.dtype != torch.float32
        return torch.autocast(self.device.type, self.dtype, enabled=enabled, cache_enabled=False)

    def _backward(self, batch: Batch) -> tuple[float, int]:
        """Set the gradients of a batch, summed over its tokens; return its −log p and number of tokens."""
        count = shares(len(batch.pairs)) if self.device.type == "cpu" else 1
        gradients, nll, tokens = self.team.gradients(batch.parts(count))
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return nll, tokens

    def _gradients(self, batch: Batch) -> Gradients:
        """The gradients of a batch or a part of it."""
        with self.autocast():
            loss = self.objective(self.model, batch.to(self.device))
        gradients = torch.autograd.grad(loss.smoothed, self.parameters, allow_unused=True)
        return Gradients(gradients, loss.nll.item(), loss.tokens)

    def _mean_gradient(self, tokens: int) -> float:
        """Turn summed gradients into those of the mean loss per token, clipped; their norm before clipping."""
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        norm = math.sqrt(self.group.sum_of_shares(torch.nn.utils.get_total_norm(gradients).item() ** 2)) / tokens
        share = 1.0 if self.clip_norm is None else min(1.0, self.clip_norm / (norm + 1e-6))
        if gradients:  # of a process that has its share in them
            torch._foreach_mul_(gradients, share / tokens)  # both in one pass over them, 1 % of an update
        return norm

    def _apply(self, gradient_norm: float) -> float:
        """Take the optimiser's step, unless the gradient is not finite; return the learning rate."""
        position = self.position
        position.update += 1
        rate = self.schedule.rate(position.update)
        if not math.isfinite(gradient_norm):
            position.skipped += 1
            if position.skipped >= MOST_SKIPPED:
                what = f"the loss was not a finite number in {MOST_SKIPPED} updates in a row, the last being update"
                raise _diverged(f"{what} {position.update}")
            return rate
        position.skipped = 0
        self.optimizer.step(rate)
        self.group.finish_step()
        if self.average is not None:
            self.average.refresh(self.model, position.update)
        return rate

    @torch.no_grad()
    def require_finite_weights(self) -> None:
        """Raise DataError if a weight is not a finite number: no checkpoint of it could go on."""
        if not math.isfinite(torch.nn.utils.get_total_norm(self.parameters, math.inf).item()):
            raise _diverged(f"a weight is not a finite number after update {self.position.update}")

    def averaged_weights(self) -> dict[str, Tensor]:
        """The weights to validate and export: the moving average where there is one."""
        return self.model.state_dict() if self.average is None else self.average.of(self.model)

    def has_new_weights(self) -> bool:
        """Whether the averaged weights are others than at the last validation."""
        position = self.position
        return self.average is None or self.average.is_new(position.update, position.validated)

    def snapshot(self, score: float | None = None) -> Snapshot:
        """Everything needed to resume bit for bit. The tensors are those of the trainer: save them before the next
        update."""
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
            | ({} if self.average is None else {"average_start": self.average.start})
            | ({} if self.origin is None else {"origin": self.origin._asdict()}),
            extra={} if self.average is None else {"average": self.average.of(self.model)},
            score=score,
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot of a trainer that was built in the same way."""
        self.model.load_state_dict(snapshot.weights)
        parameters = dict(self.model.named_parameters())
        self.optimizer.state.clear()
        for name, tensor in snapshot.optimizer.items():
            key, _, parameter = name.partition("/")
            self.optimizer.state[parameters[parameter]][key] = tensor.to(self.device, copy=True)
        restore_streams(snapshot.random, self.device, self.group)
        position = snapshot.scalars["position"]
        epoch_end = 0 if position["batch"] else position["update"]  # of older versions, which did not note it
        self.position = Position(**{"epoch_end": epoch_end} | position)
        self.schedule.restore(snapshot.scalars["schedule"])
        self.patience.restore(snapshot.scalars["patience"])
        self.origin = Origin(**snapshot.scalars["origin"]) if "origin" in snapshot.scalars else None
        if self.average is not None:
            before = float(snapshot.step < EVERY)  # of older versions; later the share of the start is near 0
            start = snapshot.scalars.get("average_start", before)
            self.average.restore(snapshot.extra.get("average", snapshot.weights), start)

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        return {
            f"{key}/{name}": value
            for name, parameter in self.model.named_parameters()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }


def _diverged(what: str) -> DataError:
    return DataError(
        f"{what}; the last good checkpoint stands",
        hint="lower training.learning_rate, or train with --set training.precision=fp32",
    )
