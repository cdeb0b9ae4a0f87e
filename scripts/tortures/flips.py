"""One bit flipped in a random place of a random file of a checkpoint or of a model: loading must notice and name it."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

from .report import Piece
from .task import finish, write_task


def torture(flips: int, seed: int, folder: Path) -> Piece:
    """So many flips, one at a time: half in the newest checkpoint, half in the model."""
    from s2s_cli.checkpoint.manager import CheckpointManager

    run, chance = folder / "run", random.Random(seed)
    finish(["train", str(write_task(folder / "task", pairs=60)), "--run", str(run)], folder / "messages")
    manager = CheckpointManager(run / "checkpoints", keep=1)
    *_, before, newest = manager.steps()
    counts, failures = Counter[str](), []
    for number in range(flips):
        target = "checkpoint" if chance.random() < 0.5 else "model"
        path = chance.choice(sorted((manager._path(newest) if target == "checkpoint" else run / "model").iterdir()))
        original = path.read_bytes()
        bit = chance.randrange(8 * len(original))
        path.write_bytes(_flipped(original, bit))
        fault = _checkpoint_fault(manager, newest, before, path) if target == "checkpoint" else _model_fault(path)
        path.write_bytes(original)
        counts[f"caught in a {target}"] += not fault
        if fault:
            failures.append(f"seed {seed}, flip {number}, bit {bit} of {target}/{path.name}: {fault}")
    manager.load(newest)  # every bit is back: what was refused was refused for the flip alone
    shutil.rmtree(run)
    return Piece(flips, "flipped bits", dict(counts), failures)


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _checkpoint_fault(manager: object, newest: int, before: int, path: Path) -> str:
    """What is wrong with how the manager takes the damage; empty if nothing is."""
    messages = StringIO()
    with redirect_stderr(messages):
        snapshot = manager.load_latest()
    if snapshot is None or snapshot.step != before:
        return f"step {snapshot and snapshot.step} was loaded, not {before}"
    told = messages.getvalue()
    return "" if told.count("\n") == 1 and path.name in told else f"not told in one line: {told!r}"


def _model_fault(path: Path) -> str:
    from s2s_cli.checkpoint.model_directory import load_model_files
    from s2s_cli.errors import UserError

    try:
        for packed in (False, True):  # weights, and packed ones in their place
            load_model_files(path.parent, lambda config, packed=packed: packed)
    except UserError as error:
        # A manifest with a wrong size is at odds with a file, and nobody can tell which of the two is at fault.
        named = path.name in str(error) or (path.name == "manifest.json" and str(path.parent) in str(error))
        return "" if named and "\n" not in str(error) else f"not named: {error}"
    except Exception as error:
        return f"no error for users: {error!r}"
    return "loaded"
