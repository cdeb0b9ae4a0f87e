"""`kill -9` at random moments of training, each followed by the same command, until the run is complete.

In the end its log, its last checkpoint and its model must equal those of an uninterrupted run to the last bit. Half of
the moments are spread evenly over time, half lie inside the saving of some checkpoint. Most processes are forked from
this one, which has torch imported, so that time goes into kills; a tenth are new Pythons with hashes of their own.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from .report import Piece
from .task import NOISE, finish, outcome, start_forked, start_fresh, wait, write_task

KINDS = {
    "attention, moving average": [],
    "accumulation, plateau": ["training.accumulate=2", "training.schedule=plateau", "validation.every=5"],
    "mean of the last, one kept": ["training.averaging={method: last, count: 2}", "training.keep_checkpoints=1"],
    "all noise": NOISE,
    "minimum risk": ["training.objective={kind: minimum_risk, candidates: 3}"],
    "LSTM, dot, bf16": ["model.cell=lstm", "model.attention.score=dot", "training.precision=bf16"],
}
FRESH = 0.1  # share of processes that are not forked
SAVES = 3  # most saves that are let pass before the one to be hit


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run of one kind, and how long it took."""

    kind: str
    recipe: Path
    outcome: dict[str, object]
    seconds: float

    def arguments(self, run: Path) -> list[str]:
        """What to call `s2s` with."""
        return _arguments(self.recipe, run, KINDS[self.kind])


def torture(kills: int, seed: int, jobs: int, folder: Path) -> Piece:
    """At least so many kills, by several tortured runs side by side."""
    import s2s_cli.training.run  # noqa: F401  # before any fork

    recipe = write_task(folder / "task", pairs=120)
    wholes = [_whole(kind, recipe, folder / "whole") for kind in KINDS]
    shares = [kills // jobs + (job < kills % jobs) for job in range(jobs)]
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        tasks = [
            pool.submit(_torture_runs, share, f"{seed}/{job}", wholes, folder / f"job-{job}")
            for job, share in enumerate(shares)
        ]
        results = [task.result() for task in tasks]
    counts = sum((counts for counts, _ in results), Counter[str]())
    failures = [failure for _, found in results for failure in found]
    return Piece(counts.pop("kills"), "times kill -9", dict(counts), failures)


def _whole(kind: str, recipe: Path, folder: Path) -> Whole:
    folder.mkdir(exist_ok=True)
    run = folder / kind
    begin = time.monotonic()
    finish(_arguments(recipe, run, KINDS[kind]), folder / "messages")
    return Whole(kind, recipe, outcome(run), time.monotonic() - begin)


def _arguments(recipe: Path, run: Path, overrides: Sequence[str]) -> list[str]:
    return ["train", str(recipe), "--run", str(run), *(word for each in overrides for word in ("--set", each))]


def _torture_runs(kills: int, seed: str, wholes: Sequence[Whole], folder: Path) -> tuple[Counter[str], list[str]]:
    """One job: run after run until there were so many kills; the counts and the failures."""
    chance, counts, failures = random.Random(seed), Counter[str](), []
    folder.mkdir()
    while counts["kills"] < kills:
        whole, run = chance.choice(wholes), folder / f"run-{counts['runs complete']}"
        try:
            _torture_run(whole, run, chance, counts)
        except Exception as failure:  # told in the report; the next run may still find something else
            failures.append(f"seed {seed}, {whole.kind}, {run}: {failure}")
            run.rename(run.with_name(f"failed-{len(failures)}"))
            counts["kills"] += 1  # so that it ends even if nothing works
            continue
        counts["runs complete"] += 1
        shutil.rmtree(run)
    return counts, failures


def _torture_run(whole: Whole, run: Path, chance: random.Random, counts: Counter[str]) -> None:
    """Kill and start again until the run is complete; raises where something is lost."""
    messages = run.with_name("messages")
    patience, code = whole.seconds / 3, -signal.SIGKILL
    while code == -signal.SIGKILL:
        fresh, left = chance.random() < FRESH, _temporaries(run / "checkpoints")
        child = (start_fresh if fresh else start_forked)(whole.arguments(run), messages)
        if chance.random() < 0.5:
            time.sleep(chance.uniform(0, patience + 2 * fresh))
        else:
            _await_save(run / "checkpoints", child, chance.randint(0, SAVES))
            time.sleep(chance.uniform(0, 0.005))
        os.kill(child, signal.SIGKILL)
        code = wait(child)
        if code == -signal.SIGKILL:
            counts["kills"] += 1
            counts["inside a save"] += bool(_temporaries(run / "checkpoints") - left)
            patience *= 1.02  # so that even a busy machine gets to the end
        _require_whole_checkpoints(run / "checkpoints")
    if code:
        raise RuntimeError(f"exit code {code}: {messages.read_text(errors='replace').splitlines()[-1]}")
    found = outcome(run)
    if different := [name for name in {**whole.outcome, **found} if whole.outcome.get(name) != found.get(name)]:
        raise RuntimeError(f"not as in the uninterrupted run: {', '.join(different)}")


def _await_save(folder: Path, child: int, passed: int) -> None:
    """Return when a save begins after so many others, or when the process has ended."""
    left, seen = _temporaries(folder), set[str]()
    while os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        seen |= _temporaries(folder) - left
        if len(seen) > passed:
            return
        time.sleep(0.0003)


def _temporaries(folder: Path) -> set[str]:
    """What savers are writing, or have left."""
    return {name for name in os.listdir(folder) if name.startswith(".step-")} if folder.exists() else set()


def _require_whole_checkpoints(folder: Path) -> None:
    """Every checkpoint loads, and there is one if there ever was one. Looking changes nothing."""
    from s2s_cli.checkpoint.manager import CheckpointManager

    manager = CheckpointManager(folder, keep=1)
    steps = manager.steps()
    for step in steps:
        manager.load(step)
    if not steps and (folder / "latest.json").exists():
        raise RuntimeError("all checkpoints are gone")
