"""`s2s train`: prepare what is missing, resume or begin, train, validate, export, score."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import NoReturn

import numpy as np

from s2s_cli import atomic, console
from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.data.batches import BatchOrder, collate
from s2s_cli.data.preparation import PreparedData, prepare
from s2s_cli.errors import Stopped
from s2s_cli.recipe.loading import dump_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.building import build_trainer, build_validator
from s2s_cli.training.changes import Basis, tell_changes
from s2s_cli.training.exporting import export, is_exported
from s2s_cli.training.interruption import Abandoned, StopRequest, stop_requests
from s2s_cli.training.metrics_log import MetricsLog
from s2s_cli.training.reporting import TrainingReport, Window
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validation import MERITS, Validator, weights_of


def train(recipe: Recipe, recipe_dir: Path, run: RunDirectory) -> None:
    """Bring the run to its end, from wherever it stands.

    recipe_dir: the folder that relative paths of the recipe start from. Raises `Stopped` after SIGINT or SIGTERM, when
    everything is saved, and the errors of its parts.
    """
    with run.lock():
        tell_changes(recipe, run)
        session = Session(recipe, run, prepare(recipe, recipe_dir, run.root))
        session.resume()
        atomic.replace_file(run.recipe, dump_recipe(recipe).encode())
        session.run()


class Session:
    """One process's share of a run."""

    def __init__(self, recipe: Recipe, run: RunDirectory, prepared: PreparedData) -> None:
        self.recipe, self.run_directory, self.prepared = recipe, run, prepared
        self.basis = Basis.of(recipe, prepared)
        self.trainer: Trainer = build_trainer(recipe, prepared)
        self.validator: Validator = build_validator(recipe, prepared, self.trainer.model)
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
        self.order = BatchOrder(
            prepared.train.source_lengths,
            prepared.train.target_lengths,
            batch_tokens=recipe.training.batch_tokens,
            batch_sentences=recipe.training.batch_sentences,
            seed=recipe.seed,
        )

    def resume(self) -> None:
        """Go to where the newest checkpoint stands, if there is one."""
        if (snapshot := self.manager.load_latest()) is None:
            return
        same_order = self.basis.carries(Basis(**snapshot.scalars["basis"]), self.run_directory)
        self.trainer.restore(snapshot)
        self.window = Window(**snapshot.scalars["window"])
        self.saved = snapshot.step
        if not same_order:
            console.warn("the order of batches changed: the epoch begins anew")
            self.trainer.position.batch = 0

    def run(self) -> None:
        """Train to the end, export."""
        position = self.trainer.position
        validated = position.validated == position.update
        if self.finished and validated:
            console.say(f"{self.recipe.name}: training is finished, {self.standing()}")
            if is_exported(self.recipe, self.run_directory, self.prepared, self.manager):
                console.say(f"the model is in {self.run_directory.model}")
                return
        else:
            self.log.forget_after(position.update, "validation" if validated else "train")
            began = "training from" if self.saved is None else "resuming at"
            console.say(f"{self.recipe.name}: {began} {self.standing()}")
            with stop_requests() as stop:
                self.train_on(stop)
        export(self.recipe, self.run_directory, self.prepared, self.trainer, self.manager, self.log)

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
    def validation_due(self) -> bool:
        """Whether the position asks for a validation that was not made yet."""
        position, every = self.trainer.position, self.recipe.validation.every
        if position.update == position.validated:
            return False
        return self.finished or (position.batch == 0 if every is None else position.update % every == 0)

    @property
    def save_due(self) -> bool:
        """Whether the position asks for a checkpoint between validations."""
        update, every = self.trainer.position.update, self.recipe.training.save_every
        return every is not None and update % every == 0 and update > 0 and update != self.saved

    def train_on(self, stop: StopRequest) -> None:
        """Update after update, with a validation and a checkpoint every so often.

        What is due follows from the position alone: a run that was stopped anywhere goes on with what it still owes.
        """
        updates = self.updates()
        with self._report() as report:
            while True:
                if self.validation_due:
                    self.validate(report, stop)
                elif self.save_due:
                    self.save()
                if stop:
                    self._leave(stop)
                if self.finished:
                    return
                self._update(*next(updates), report)

    def updates(self) -> Iterator[tuple[list[np.ndarray], bool]]:
        """For each update to come, the indices of the pairs of its batches, and whether it ends an epoch."""
        position, size = self.trainer.position, self.recipe.training.accumulate
        while True:
            batches = self.order.epoch(position.epoch, skip=position.batch)
            following = list(islice(batches, size))
            assert following, "an epoch has batches, and a position never stands behind its last one"
            while group := following:
                following = list(islice(batches, size))
                yield group, not following

    def _update(self, pairs: list[np.ndarray], ends_epoch: bool, report: TrainingReport) -> None:
        position = self.trainer.position
        update = self.trainer.update([collate(self.prepared.train, indices) for indices in pairs])
        if ends_epoch:
            position.end_epoch()
        report.update(position, update, sum(map(len, pairs)), last=self.finished)

    def validate(self, report: TrainingReport, stop: StopRequest) -> None:
        """Measure, judge, report, save; or do nothing if asked to stop meanwhile: then it stays due."""
        trainer, position, began = self.trainer, self.trainer.position, time.perf_counter()
        try:
            with weights_of(trainer.model, trainer.averaged_weights()), stop.abandoning():
                figures = self.validator.measure(trainer.model, trainer.autocast())
        except Abandoned:
            return
        merit = MERITS[self.recipe.validation.metric](figures)
        improved = trainer.patience.judge(merit, position.update)
        trainer.schedule.after_validation(improved)
        position.validated = position.update
        report.validation(position, figures, improved, time.perf_counter() - began)
        self.save(merit, best=improved)  # after the report: what a checkpoint has seen must stand in the log

    def save(self, score: float | None = None, *, best: bool = False) -> None:
        """Write a checkpoint of this moment."""
        snapshot = self.trainer.snapshot(score)
        snapshot.scalars |= {"window": asdict(self.window), "basis": asdict(self.basis)}
        self.manager.save(snapshot, best=best)
        self.saved = snapshot.step

    def standing(self) -> str:
        """Where training stands, in words."""
        position = self.trainer.position
        epoch = position.epochs_begun if self.finished else position.epoch + 1
        return f"update {position.update:,}, epoch {epoch}"

    def _report(self) -> TrainingReport:
        position, pairs = self.trainer.position, len(self.prepared.train)
        done = pairs * position.epoch + sum(map(len, islice(self.order.epoch(position.epoch), position.batch)))
        total = pairs * self.recipe.training.epochs
        return TrainingReport(self.recipe.name, done, total, self.log, self.window)

    def _leave(self, stop: StopRequest) -> NoReturn:
        if self.saved != self.trainer.position.update:
            self.save()
        assert stop.exit_code is not None
        raise Stopped(
            f"stopped after {self.standing()}; everything is saved in {self.run_directory.root}",
            exit_code=stop.exit_code,
            hint="the same command goes on from there",
        )
