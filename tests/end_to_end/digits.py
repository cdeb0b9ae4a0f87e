"""A tiny task for whole training runs: numerals, word by word, from French into English; and how runs compare."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from starts import Before, Started

from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.training.run import train
from scripts.tortures import task
from scripts.tortures.task import NOISE, ROOT, log_of

__all__ = ["NOISE", "ROOT", "log_of"]


def write_task(directory: Path, pairs: int) -> Path:
    """A corpus of so many pairs and its recipe, whose path is returned."""
    return task.write_task(directory, pairs, width=16, epochs=5, save_every=7, kernel="auto")


# ------------------------------------------------------------------------------------------------------------ running


def train_here(recipe: Path, run: Path, *overrides: str) -> None:
    """`s2s train` inside this process."""
    train(load_recipe(recipe, overrides), recipe.parent, RunDirectory(run))


def start_training(
    recipe: Path,
    run: Path,
    *overrides: str,
    dry: bool = False,
    before: Before = None,
    fresh: bool = False,
) -> Started:
    """`s2s train` as a process of its own. before, fresh: as of `Started`."""
    options = [word for override in overrides for word in ("--set", override)] + ["--dry-run"] * dry
    return Started("train", recipe, "--run", run, *options, before=before, fresh=fresh)


def finish(process: Started) -> tuple[int, str]:
    """Exit code and stderr. Training has nothing to say on stdout."""
    code, output, messages = process.finish()
    assert output == b""
    return code, messages.decode()


def signal_at(process: Started, run: Path, update: int, number: signal.Signals, delay: float = 0) -> None:
    """Send a signal once a checkpoint of this update or a later one is there, and some seconds have passed."""
    while process.poll() is None and max(steps(run), default=-1) < update:
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(number)


# ---------------------------------------------------------------------------------------------------------- comparing


def steps(run: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in run.glob("checkpoints/step-*"))


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_same_outcome(run: Path, other: Path) -> None:
    """Log, last checkpoint and model are equal to the last bit."""
    assert log_of(run) == log_of(other)
    last = steps(other)[-1]
    assert steps(run)[-1] == last
    for name in (f"checkpoints/step-{last}", "model"):
        ours, theirs = content(run / name), content(other / name)
        assert ours.keys() == theirs.keys()
        assert [file for file in ours if ours[file] != theirs[file]] == []
