"""`s2s train` as a process whose disk fills up while it saves: nothing is lost, and it goes on once there is room."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from digits import assert_same_outcome, finish, signal_at, start_training, steps, train_here, write_task
from starts import Before

from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.errors import ExitCode

LITTLE = 16_384  # bytes: less than a checkpoint, more than all that is written before one


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"), pairs=94)


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    train_here(recipe, run)
    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes in memory; mounting one is for root alone."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting is not permitted")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def begin(recipe: Path, run: Path) -> None:
    """Train a while."""
    process = start_training(recipe, run)
    signal_at(process, run, 7, signal.SIGTERM)
    assert finish(process)[0] == ExitCode.TERMINATED


def require_failing_save(recipe: Path, run: Path, fault: str, before: Before = None) -> None:
    """Start the run again: it must end with one sentence, and what was saved before must still be there."""
    saved = steps(run)[-1]
    code, messages = finish(start_training(recipe, run, before=before))
    assert code == ExitCode.MACHINE, messages
    told = rf"error: {run}/checkpoints/step-\d+: cannot be written: {fault} \(free some space; what was .*\)"
    assert re.fullmatch(told, messages.splitlines()[-1]), messages
    assert "Traceback" not in messages
    assert [path.name for path in (run / "checkpoints").glob(".*")] == []
    snapshot = CheckpointManager(run / "checkpoints", keep=1).load_latest()
    assert snapshot is not None
    assert snapshot.step == saved


def test_files_that_may_not_grow(recipe: Path, whole: Path, tmp_path: Path):
    run, limit = tmp_path / "run", (LITTLE, resource.RLIM_INFINITY)
    begin(recipe, run)
    require_failing_save(
        recipe, run, "File too large", before=partial(resource.setrlimit, resource.RLIMIT_FSIZE, limit)
    )
    train_here(recipe, run)
    assert_same_outcome(run, whole)


@pytest.mark.slow
def test_a_disk_without_room(recipe: Path, whole: Path, small_disk: Path):
    run, ballast = small_disk / "run", small_disk / "ballast"
    begin(recipe, run)
    with ballast.open("wb", buffering=0) as file:
        with pytest.raises(OSError, match="No space left"):
            while True:
                file.write(bytes(4096))
        file.truncate(ballast.stat().st_size - LITTLE)
    require_failing_save(recipe, run, "No space left on device")
    ballast.unlink()
    train_here(recipe, run)
    assert_same_outcome(run, whole)
