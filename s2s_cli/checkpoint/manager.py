"""The checkpoints of a run: saved atomically, the newest and the best kept, the newest sound one loaded.

The directories `step-<n>` alone decide; the `state.json` of each has its score and whether it was the best so far. So
the one rename that completes a checkpoint commits everything. The files `latest.json` and `best.json` beside them are
for people and other programs, and distinguish a folder that lost its checkpoints from one that never had any.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from torch import Tensor

from s2s_cli import atomic, console
from s2s_cli.checkpoint.snapshot import Snapshot, SnapshotState, read_snapshot, read_state, read_weights, write_snapshot
from s2s_cli.errors import CheckpointError, MachineError
from s2s_cli.sealed import Document, SealedDirectory, parse_json, to_json

_STEP = re.compile(r"step-(0|[1-9][0-9]{0,17})")


class Pointer(Document):
    """`latest.json` and `best.json`."""

    format: Literal[1] = 1
    step: int
    directory: str
    score: float | None


class CheckpointManager:
    """Saves and loads the snapshots of one run; one process at a time may save (`RunDirectory.lock`).

    keep: how many of the newest checkpoints stay on disk; keep_best: how many of the best; keep_validated: how many of
    the newest that have a score (for exported models that are a mean of several).
    """

    def __init__(self, directory: Path, keep: int, keep_best: int = 1, keep_validated: int = 0) -> None:
        if keep < 1 or keep_best < 1:
            raise ValueError(f"at least one checkpoint must be kept: keep={keep}, keep_best={keep_best}")
        self.directory, self.keep, self.keep_best = directory, keep, keep_best
        self.keep_validated = keep_validated

    def save(self, snapshot: Snapshot, *, best: bool) -> Path:
        """Write a checkpoint, then the pointers, then remove what is not to be kept. Returns its directory.

        best: whether this is the best one so far. Checkpoints of later steps belong to an abandoned branch (they were
        damaged, or training was taken back) and are removed as well. Raises `MachineError` if it cannot be written; the
        other checkpoints are then left as they were.
        """
        atomic.sweep(self.directory)
        target = self._path(snapshot.step)
        with atomic.new_directory(target) as directory:
            write_snapshot(directory, snapshot, best=best)
        self._point("latest.json", snapshot.step, snapshot.score)
        states, unread = self._states(self.steps())
        ranking = [step for step in _ranking(states) if step <= snapshot.step]
        if ranking:
            self._point("best.json", ranking[0], states[ranking[0]].score)
        newest_ranked = sorted(ranking, reverse=True)[: self.keep_validated]
        self._prune(snapshot.step, [*ranking[: self.keep_best], *newest_ranked, *unread])
        return target

    def load_latest(self) -> Snapshot | None:
        """The newest sound checkpoint, with a warning for each newer one that is damaged; None if there never was any.

        Raises `CheckpointError` if there were checkpoints but none can be used: training must not silently restart.
        """
        atomic.sweep(self.directory)
        steps = self.steps()
        self._warn_of_loss(steps)
        for step in reversed(steps):
            try:
                with _hinting():
                    return self.load(step)
            except CheckpointError as error:
                console.warn(f"skipped a checkpoint: {error}")
        if steps:
            raise CheckpointError(
                f"none of the {len(steps)} checkpoints can be used",
                where=self.directory,
                hint="restore one from a copy, or remove this folder to train from the start",
            )
        return None

    def load(self, step: int) -> Snapshot:
        """One checkpoint, verified. Raises `CheckpointError`, which names the file and the fault."""
        snapshot = read_snapshot(self._path(step))
        if snapshot.step != step:
            raise CheckpointError(f"holds step {snapshot.step}", where=self._path(step))
        return snapshot

    def weights(self, step: int) -> dict[str, Tensor]:
        """The verified weights of one checkpoint, for averaging. Raises `CheckpointError`."""
        return read_weights(self._path(step))

    def steps(self) -> list[int]:
        """The steps of all checkpoints on disk, sound or not, in rising order."""
        if not self.directory.is_dir():
            return []
        matches = (_STEP.fullmatch(path.name) for path in self.directory.iterdir() if path.is_dir())
        return sorted(int(match[1]) for match in matches if match)

    def ranked(self) -> list[int]:
        """Steps of the undamaged validated checkpoints on disk, best first, with a warning for each damaged one; only
        the best `keep_best` and the newest `keep_validated` are sure to stay there."""
        sound = []
        for step in self.steps():
            try:
                with _hinting():
                    SealedDirectory.open(self._path(step)).verify_all()
                sound.append(step)
            except CheckpointError as error:
                console.warn(f"skipped a checkpoint: {error}")
        return _ranking(self._states(sound)[0])

    def _path(self, step: int) -> Path:
        return self.directory / f"step-{step}"

    def _states(self, steps: Iterable[int]) -> tuple[dict[int, SnapshotState], list[int]]:
        """Step to state of those of the checkpoints whose `state.json` is sound; and the steps of those that cannot be
        read now, which may be."""
        states, unread = {}, []
        for step in steps:
            try:
                states[step] = read_state(self._path(step))
            except CheckpointError:
                continue  # cannot be ranked; loading it gives a warning
            except MachineError as error:
                console.warn(f"a checkpoint is neither ranked nor removed: {error}")
                unread.append(step)
        return states, unread

    def _point(self, name: str, step: int, score: float | None) -> None:
        pointer = Pointer(step=step, directory=self._path(step).name, score=score)
        atomic.replace_file(self.directory / name, to_json(pointer))

    def _prune(self, newest: int, needed: list[int]) -> None:
        steps = self.steps()
        kept = {*[step for step in steps if step <= newest][-self.keep :], *needed}
        for step in steps:
            if step not in kept:
                atomic.remove_directory(self._path(step))

    def _warn_of_loss(self, steps: list[int]) -> None:
        """Warn if the newest checkpoint is missing altogether. Raises `CheckpointError` if all of them are."""
        path = self.directory / "latest.json"
        if not path.is_file():
            return
        try:
            latest = parse_json(path.read_bytes(), Pointer, path).step
        except (CheckpointError, OSError) as error:
            console.warn(str(error))
            latest = None
        if not steps:
            raise CheckpointError(
                "all checkpoints are missing",
                where=self.directory,
                hint="restore one from a copy, or remove this folder to train from the start",
            )
        if latest is not None and latest > steps[-1]:
            console.warn(f"{self._path(latest)}: the latest checkpoint is missing")


@contextmanager
def _hinting() -> Iterator[None]:
    """With what to do about a checkpoint that cannot be read."""
    try:
        yield
    except MachineError as error:
        hint = "try again; if it stays so, move this checkpoint away"
        raise MachineError(error.what, where=error.where, hint=hint) from error


def _ranking(states: dict[int, SnapshotState]) -> list[int]:
    """Validated steps, best first; of equal scores, the last that was saved as the best, then the newest."""
    best = max((step for step, state in states.items() if state.best), default=None)

    def merit(step: int) -> tuple[float, bool, int]:
        score = states[step].score
        return -math.inf if score is None or math.isnan(score) else score, step == best, step

    validated = [step for step, state in states.items() if state.best or state.score is not None]
    return sorted(validated, key=merit, reverse=True)
