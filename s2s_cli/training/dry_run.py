"""`s2s train --dry-run`: what a training needs, how long it takes and whether the model learns.

The data is prepared in the run's directory, just as `s2s prep` does, and stays there for the training. Nothing else is
written. Where a model has yet to write a corpus, a sample of it takes its place, and the data is removed in the end.
"""

from __future__ import annotations

import math
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from s2s_cli import console
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.checkpoint.snapshot import Snapshot
from s2s_cli.data.batches import Pairs
from s2s_cli.data.preparation import Written
from s2s_cli.data.prepared import PreparedData
from s2s_cli.errors import MachineError, UsageError
from s2s_cli.model.dropout import own_stream
from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.batches import Batch, collate
from s2s_cli.training.building import build_epochs, build_order, build_trainer, build_validator, most_updates
from s2s_cli.training.changes import tell_changes
from s2s_cli.training.initial import settle
from s2s_cli.training.process_group import ALONE, ProcessGroup
from s2s_cli.training.reporting import machinery
from s2s_cli.training.run import TRIAL, prepare_for
from s2s_cli.training.schedule import Schedule
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validation import warn_of_words

SECONDS = 5.0
"""For how long updates are timed."""
LEAST_UPDATES = 10  # to be timed at least, even if they take longer
MOST_BATCHES = 10  # of an update that is timed
UPDATES = 20
"""Updates on one batch: a fixed number, so that the verdict does not depend on how fast the machine is."""
LEARNED = 0.98  # upper bound of the loss after them, relative to the loss before
KEPT = 1.02  # the same where a model that was trained before is refined, at rates that change it little
SAMPLE = 2_000  # batches of the first epoch among which the largest is found
SENTENCES = 32  # of dev that are decoded to estimate a validation
MANY_UNKNOWN = 0.01  # share of the tokens of dev


class Speed(NamedTuple):
    """The duration of some timed batches."""

    pairs: int
    tokens: int
    """Target tokens, ends of sentences included."""
    seconds: float


TryCorpora = Callable[[Recipe, Path, Path, Path], Written]
"""From a recipe, its folder, the directory of its run and a folder for samples to the corpora that models write."""


def nothing_tried(recipe: Recipe, recipe_dir: Path, run: Path, trial: Path) -> Written:
    """For recipes without such corpora."""
    return {}


def dry_run(
    recipe: Recipe,
    recipe_dir: Path,
    run: RunDirectory,
    group: ProcessGroup = ALONE,
    try_corpora: TryCorpora = nothing_tried,
) -> None:
    """Prepare the data, try the training, report; no checkpoint is written.

    group: the processes that wait for this one, which does all the work. Raises `MachineError` if the disk has too
    little room, `UsageError` if the loss of a batch does not fall, and the errors of its parts, such as faults of the
    corpora with file and line.
    """
    trial = run.root / TRIAL
    with run.lock(), _removed(trial):
        recipe, initial = settle(recipe, recipe_dir, run)
        tell_changes(recipe, run)
        written = try_corpora(recipe, recipe_dir, run.root, trial)
        is_trial = any(corpus.stands_for is not None for corpus in written.values())
        prepared = prepare_for(group, recipe, recipe_dir, trial if is_trial else run.root, initial, written)
        warn_of_unknown(recipe, prepared)
        warn_of_words(recipe.validation.metric, prepared.dev_texts()[1], recipe.languages.target)
        batches = _first_batches(recipe, prepared)
        trainer = build_trainer(recipe, prepared, ALONE, initial)
        data = build_epochs(recipe, prepared)(0)
        with closing(trainer.team):
            tell_learning(recipe, trainer, collate(data, batches[0]))
            tell_memory(trainer, data, largest(prepared, batches))
            speed = time_updates(trainer, data, batches, min(recipe.training.accumulate, MOST_BATCHES))
        tell_room(recipe, run, trainer.snapshot())
        seconds = validation_seconds(recipe, prepared, trainer)
        tell_duration(recipe, speed, *epoch_of(recipe, prepared, written), seconds)
        console.say(f"{recipe.name}: all checks passed; the same command without --dry-run trains")


@contextmanager
def _removed(folder: Path) -> Iterator[None]:
    """Remove a folder before and after the block."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def epoch_of(recipe: Recipe, prepared: PreparedData, written: Written) -> tuple[int, int]:
    """Pairs and batches of an epoch; of a corpus of which there is a sample, as many as all of it will have."""
    order = build_order(recipe, prepared)
    pairs = order.pairs
    for number, corpus in written.items():
        if corpus.stands_for is not None:
            counts = prepared.manifest.splits["train"]["corpora"][number]
            missing = counts["pairs"] * (corpus.stands_for / max(1, counts["pairs_read"]) - 1)
            pairs += round(recipe.data.train[number].weight * missing)
    return pairs, math.ceil(sum(1 for _ in order.epoch(0)) * pairs / order.pairs)


def warn_of_unknown(recipe: Recipe, prepared: PreparedData) -> None:
    """Warn of each side of dev that has many unknown tokens."""
    dev = prepared.manifest.splits["dev"]
    for side in ("source", "target"):
        if (share := dev[side]["unknown"] / max(1, dev[side]["tokens"])) > MANY_UNKNOWN:
            remedy = "init.extend: true finds" if recipe.keeps_tokenizers else "a larger tokenizer.vocabulary has"
            console.warn(f"{share:.1%} of the {side} tokens of dev are unknown ({remedy} more)")


def _first_batches(recipe: Recipe, prepared: PreparedData) -> list[np.ndarray]:
    """Indices of the pairs of batches as training will see them first."""
    return list(islice(build_order(recipe, prepared).epoch(0), SAMPLE))


def largest(prepared: PreparedData, batches: Sequence[np.ndarray]) -> np.ndarray:
    """The batch with the most pieces, padding included, of the best segmentation."""
    sides = (prepared.train.source_lengths, prepared.train.target_lengths)
    return max(batches, key=lambda pairs: len(pairs) * sum(int(lengths[pairs].max()) + 1 for lengths in sides))


def tell_memory(trainer: Trainer, data: Pairs, largest: np.ndarray) -> None:
    """Train on the largest batch, and report the memory that it took."""
    for _ in range(2):  # the optimiser allocates its memory in the first update
        trainer.update([collate(data, largest)])
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    console.say(f"model: {parameters:,} parameters; {machinery(trainer)}")
    peak, there_is = _peak_memory(trainer)
    console.say(f"memory: {peak / 1e6:,.0f} of {there_is / 1e6:,.0f} MB (the largest batch: {len(largest):,} pairs)")


def _peak_memory(trainer: Trainer) -> tuple[int, int]:
    """The peak of the bytes in use so far, and the bytes that the device has.

    The processes of the team keep what they have freed, so that what they have now is their peak.
    """
    device = trainer.device
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device), torch.cuda.get_device_properties(device).total_memory
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit + trainer.team.memory()
    return peak, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def time_updates(trainer: Trainer, data: Pairs, batches: Sequence[np.ndarray], accumulate: int) -> Speed:
    """Train on real batches for a while. accumulate: batches of an update."""
    begin, updates, pairs, tokens = time.perf_counter(), 0, 0, 0
    following = cycle(batches)
    while (seconds := time.perf_counter() - begin) < SECONDS or updates < LEAST_UPDATES:
        group = list(islice(following, accumulate))
        tokens += trainer.update([collate(data, indices) for indices in group]).tokens
        pairs += sum(map(len, group))
        updates += 1
    return Speed(pairs, tokens, seconds)


def validation_seconds(recipe: Recipe, prepared: PreparedData, trainer: Trainer) -> float:
    """Upper bound of the time of a validation: a model that has not learned yet decodes up to the length limit."""
    validator = build_validator(recipe, prepared)
    sources = validator.sources[:SENTENCES]
    begin = time.perf_counter()
    validator.translator_of(trainer.model).translate(sources)
    return (time.perf_counter() - begin) * len(validator.sources) / max(1, len(sources))


def tell_duration(recipe: Recipe, speed: Speed, pairs: int, batches: int, validation: float) -> None:
    """Report the time of an epoch of so many pairs and batches, and the upper bound of that of the training."""
    settings = recipe.training
    epoch_seconds, epoch_updates = pairs / speed.pairs * speed.seconds, math.ceil(batches / settings.accumulate)
    updates = most_updates(settings, batches)
    validations = math.ceil(updates / (recipe.validation.every or epoch_updates))
    total = updates / epoch_updates * epoch_seconds + validations * validation
    console.say(
        f"speed: {speed.tokens / speed.seconds:,.0f} target tokens/s; an epoch of about {epoch_updates:,} updates takes"
        f" {console.duration(epoch_seconds)}, a validation at most {console.duration(validation)}"
    )
    console.say(f"duration: at most {console.duration(total)}; updates: {updates:,}; validations: {validations:,}")


def tell_room(recipe: Recipe, run: RunDirectory, snapshot: Snapshot) -> None:
    """Report the disk space that the run needs. Raises `MachineError` if there is less."""
    averaging = recipe.training.averaging
    besides = averaging.count if averaging.method in ("best", "last") else 0
    count = recipe.training.keep_checkpoints + besides + 2  # the best, and the one that is being written
    sets = (snapshot.weights, snapshot.optimizer, snapshot.random, *snapshot.extra.values())
    checkpoint, model = (sum(tensor.nbytes for each in group for tensor in each.values()) for group in (sets, sets[:1]))
    needed = count * checkpoint + 2 * model  # while a model is replaced, both lie on disk
    there = sum(path.stat().st_size for path in run.checkpoints.glob("step-*/*"))
    free = shutil.disk_usage(run.root).free + there
    room = f"the run needs {needed / 1e6:,.0f} MB, and {free / 1e6:,.0f} MB are free"
    if needed > free:
        raise MachineError(room, where=run.root, hint="free some space, or lower training.keep_checkpoints")
    console.say(f"disk: {room} ({count} checkpoints of {checkpoint / 1e6:,.1f} MB, and the model)")


def tell_learning(recipe: Recipe, trainer: Trainer, batch: Batch) -> None:
    """Train on one batch, from the initial weights.

    Raises `UsageError` if its loss, without dropout, does not fall; or rises, where training begins with a model.
    """
    trainer.schedule = Schedule(recipe.training.learning_rate, "constant", warmup=0)
    before = _loss(trainer, batch)
    for _ in range(UPDATES):
        trainer.update([batch])
    after = _loss(trainer, batch)
    course = f"from {before:.3g} to {after:.3g} in {UPDATES} updates"
    most, fault, remedy = (
        (LEARNED, "does not fall", "a higher or a lower") if recipe.init is None else (KEPT, "rises", "a lower")
    )
    if not after < most * before:  # also if it is not a number
        raise UsageError(
            f"the loss of one batch {fault}: {course}",
            where="training.learning_rate",
            hint=f"try {remedy} learning rate",
        )
    console.say(f"learning: the loss of one batch {'fell' if after < before else 'went'} {course}")


@torch.inference_mode()
def _loss(trainer: Trainer, batch: Batch) -> float:
    """−log p, or the risk, per target token, without dropout. What an objective draws, it draws each time."""
    trainer.model.eval()
    with trainer.autocast(), own_stream(0):
        loss = trainer.objective(trainer.model, batch.to(trainer.device))
    return (loss.nll if loss.risk is None else loss.risk).item() / loss.tokens
