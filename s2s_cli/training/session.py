"""The session of one process in a training: resume or begin, the loop of updates, validations and checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np

from s2s_cli import console
from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.checkpoint.snapshot import Snapshot
from s2s_cli.data.prepared import PreparedData
from s2s_cli.errors import CheckpointError, ExitCode, Stopped, printable
from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.batches import collate
from s2s_cli.training.building import build_epochs, build_order, build_trainer, build_validator
from s2s_cli.training.changes import Basis
from s2s_cli.training.interruption import Abandoned, StopRequest, stop_requests
from s2s_cli.training.process_group import ProcessGroup
from s2s_cli.training.reporting import MetricsLog, NoReport, Report, TrainingReport, Window, machinery
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validation import MERITS, Figures, Validator, warn_of_words, weights_of


class Session:
    """One process's share of a run.

    All processes of the group keep the same position and schedule, so that each of them knows which validation or
    checkpoint is due. Work that must be done only once is done by the first process, which sends its result to the
    others where they need it.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: RunDirectory,
        prepared: PreparedData,
        group: ProcessGroup,
        initial: Path | None = None,
    ) -> None:
        self.recipe, self.run_directory, self.prepared, self.group = recipe, run, prepared, group
        self.basis = Basis.of(recipe, prepared)
        self.trainer: Trainer = build_trainer(recipe, prepared, group, initial)
        self.validator: Validator = build_validator(recipe, prepared)
        averaging = recipe.training.averaging
        self.manager = CheckpointManager(
            run.checkpoints,
            keep=recipe.training.keep_checkpoints,
            keep_best=averaging.count if averaging.method == "best" else 1,
            keep_validated=averaging.count if averaging.method == "last" else 0,
        )
        self.saved: int | None = None  # the update of the newest sound checkpoint
        self.window = Window()
        self.log = MetricsLog(run.metrics)
        self.order, self.pairs_of = build_order(recipe, prepared), build_epochs(recipe, prepared)

    def resume(self) -> None:
        """Restore the newest checkpoint, if there is one."""
        if (snapshot := self._newest()) is None:
            return
        try:
            older = Basis(**snapshot.scalars["basis"])
            same_order = self.basis.carries(older, self.run_directory)
            self.trainer.restore(snapshot)
            self.window = Window(**snapshot.scalars["window"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            fault = printable(" ".join(f"{type(error).__name__}: {error}".split()))
            raise CheckpointError(
                f"checkpoint {snapshot.step} is not one of this run: {fault}",
                where=self.manager.directory,
                hint="restore the recipe and this folder as they were, or remove it to train from the start",
            ) from error
        self.saved = snapshot.step
        if self.is_complete:
            return
        self.basis.require_same_search(older, self.run_directory)
        if self.trainer.position.batch and not same_order:
            self.group.once(lambda: console.warn("the order of batches changed: the epoch starts again"))
            self.trainer.position.batch = 0

    def _newest(self) -> Snapshot | None:
        """The newest sound checkpoint, as the first process finds it."""
        snapshot = self.group.once(self.manager.load_latest)
        step = self.group.from_first(None if snapshot is None else snapshot.step)
        return snapshot if snapshot or step is None else self.manager.load(int(step))

    def train(self) -> bool:
        """Train to the end; whether anything was left to do."""
        if self.is_complete:
            return False
        means = machinery(self.trainer)  # not inside `once`, which may use more threads
        self.group.once(lambda: self._begin(means))
        with stop_requests(tells=self.group.leads) as stop, closing(self.trainer.team):
            self.train_on(stop)
        return True

    def _begin(self, means: str) -> None:
        position = self.trainer.position
        warn_of_words(self.recipe.validation.metric, self.validator.references, self.recipe.languages.target)
        self.log.forget_after(position.update, "validation" if position.validated == position.update else "train")
        began = "training from" if self.saved is None else "resuming at"
        console.say(f"{self.recipe.name}: {began} {self.standing()}; {means}")

    @property
    def finished(self) -> bool:
        """Whether any of the limits is reached."""
        limits, position = self.recipe.training, self.trainer.position
        return (
            position.epoch >= limits.epochs
            or (limits.updates is not None and position.update >= limits.updates)
            or self.trainer.patience.exhausted
        )

    @property
    def is_complete(self) -> bool:
        """Whether there is nothing left to train or to validate."""
        return self.finished and self.trainer.position.validated == self.trainer.position.update

    @property
    def validation_due(self) -> bool:
        """Whether a validation is due at this position and was not made yet."""
        position, every = self.trainer.position, self.recipe.validation.every
        if position.update == position.validated:
            return False
        is_time = position.update == position.epoch_end if every is None else position.update % every == 0
        return self.finished or is_time

    @property
    def save_due(self) -> bool:
        """Whether a checkpoint between validations is due at this position."""
        update, every = self.trainer.position.update, self.recipe.training.save_every
        return every is not None and update % every == 0 and update > 0 and update != self.saved

    def train_on(self, stop: StopRequest) -> None:
        """Make updates, with the validations and checkpoints that are due.

        What is due follows from the position alone, so a resumed run first does what was still due when it stopped.
        """
        updates = self.updates()
        with self._report() as report:
            while True:
                if self.validation_due:
                    self.validate(report, stop)
                elif self.save_due:
                    self.save()
                if exit_code := self.group.greatest(stop.exit_code or 0):
                    self._leave(ExitCode(exit_code))
                if self.finished:
                    return
                self._update(*next(updates), report)

    def updates(self) -> Iterator[tuple[list[np.ndarray], bool]]:
        """For each update to come, the indices of the pairs of its batches, and whether it ends an epoch."""
        position, size = self.trainer.position, self.recipe.training.accumulate
        while True:
            batches = self.order.epoch(position.epoch, skip=position.batch)
            following = list(islice(batches, size))
            assert following, "an epoch has batches, and a position is never after its last one"
            while group := following:
                following = list(islice(batches, size))
                yield group, not following

    def _update(self, pairs: list[np.ndarray], ends_epoch: bool, report: Report) -> None:
        position = self.trainer.position
        data = self.pairs_of(position.epoch)
        update = self.trainer.update([collate(data, self.group.share(indices)) for indices in pairs])
        if ends_epoch:
            position.end_epoch()
        report.update(position, update, sum(map(len, pairs)), last=self.finished)

    def validate(self, report: Report, stop: StopRequest) -> None:
        """Measure, judge, report, save; if a stop is requested meanwhile, do nothing, and the validation stays due."""
        trainer, position, began = self.trainer, self.trainer.position, time.perf_counter()
        trainer.require_finite_weights()
        figures = self.group.once(lambda: self._measure(stop))
        merit = self.group.from_first(figures and MERITS[self.recipe.validation.metric](figures))
        if merit is None:
            return
        improved = False
        if self.group.from_first(trainer.has_new_weights()):  # the same ones again would be taken for no progress
            improved = trainer.patience.judge(merit, position.update)
            trainer.schedule.after_validation(improved)
        position.validated = position.update
        if figures:
            report.validation(position, figures, improved, time.perf_counter() - began)
        self.save(merit, best=improved)  # after the report: the log must contain what precedes a checkpoint

    def _measure(self, stop: StopRequest) -> Figures | None:
        """Figures of the model as it would be exported; None if a stop is requested meanwhile."""
        trainer = self.trainer
        try:
            with weights_of(trainer.model, trainer.averaged_weights()), stop.abandoning():
                return self.validator.measure(trainer.model, trainer.autocast())
        except Abandoned:
            return None

    def save(self, score: float | None = None, *, best: bool = False) -> None:
        """Write a checkpoint of the current state."""
        self.trainer.require_finite_weights()
        snapshot = self.trainer.snapshot(score)
        snapshot.scalars |= {"window": asdict(self.window), "basis": asdict(self.basis)}
        self.group.once(lambda: self._write(snapshot, best))
        self.saved = snapshot.step

    def _write(self, snapshot: Snapshot, best: bool) -> None:
        self.run_directory.require_lock()
        self.log.flush()  # after a power cut, too, it must contain what precedes the checkpoint
        self.manager.save(snapshot, best=best)

    def standing(self) -> str:
        """The position of training as text."""
        position = self.trainer.position
        epoch = position.epochs_begun if self.finished else position.epoch + 1
        return f"update {position.update:,}, epoch {epoch}"

    def _report(self) -> Report:
        if not self.group.leads:
            return NoReport()
        position, pairs = self.trainer.position, self.order.pairs
        done = pairs * position.epoch + sum(map(len, islice(self.order.epoch(position.epoch), position.batch)))
        total = pairs * self.recipe.training.epochs
        return TrainingReport(self.recipe.name, done, total, self.log, self.window)

    def _leave(self, exit_code: ExitCode) -> NoReturn:
        if self.saved != self.trainer.position.update:
            self.save()
        raise Stopped(
            f"stopped after {self.standing()}; everything is saved in {self.run_directory.root}",
            exit_code=exit_code,
            hint="the same command resumes from there",
        )
