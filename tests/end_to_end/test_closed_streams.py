"""The commands with stdin, stdout or stderr closed (`<&-`, `>&-`, `2>&-`), or with nobody who reads stderr.

stdout is data and nothing else: no message appears there, nor in a file that got the number of a closed descriptor.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from digits import ROOT, log_of, write_task

NO_STDIN = b"error: <stdin>: cannot be read: Bad file descriptor\n"
NO_STDOUT = b"Bad file descriptor\n"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"), pairs=64)


def s2s(*arguments: object, closed: Iterable[int], data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command with these descriptors closed."""

    def close() -> None:
        for descriptor in closed:
            os.close(descriptor)

    return subprocess.run(
        [sys.executable, "-m", "s2s_cli", *map(str, arguments)],
        **{"input": data, "capture_output": True, "timeout": 120, "cwd": ROOT, "preexec_fn": close},
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="module")
def run(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves that had none of the three."""
    run = tmp_path_factory.mktemp("run") / "run"
    done = s2s("train", recipe, "--run", run, "--set", "training.epochs=1", closed=(0, 1, 2))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return run


def test_a_training_needs_none_of_them(run: Path):
    assert log_of(run)  # every line is JSON
    assert (run / "lock").read_text().count("\n") == 1  # the first file that is opened, and kept open


def test_messages_do_not_go_to_stdout(run: Path, recipe: Path, tmp_path: Path):
    (tmp_path / "text").write_bytes(b"un deux\n\xff\n")
    for arguments, data in [
        (("translate", "--model", run), b"un deux\n\xff\n"),  # warns of invalid UTF-8
        (("translate", "--model", run, tmp_path / "text"), b""),  # opens a file first of all
        (("translate", "--model", tmp_path), b""),  # ends with an error
        (("evaluate", "--reference", recipe), b"un\n"),
        (("evaluate", "--model", run, "--chrf"), b""),
        (("translate", "--nonsense"), b""),
        (("prep", recipe, "--run", tmp_path / "run", "--json"), b""),
    ]:
        quiet, usual = (s2s(*arguments, closed=closed, data=data) for closed in [(2,), ()])
        assert (quiet.returncode, quiet.stdout) == (usual.returncode, usual.stdout), arguments
        assert quiet.stderr == b""


def test_where_there_is_no_stdin_to_read_it_says_so(run: Path, recipe: Path):
    for arguments in [("translate", "--model", run), ("evaluate", "--reference", recipe)]:
        done = s2s(*arguments, closed=(0,))
        assert (done.returncode, done.stdout, done.stderr) == (1, b"", NO_STDIN), arguments


def test_where_there_is_no_stdout_to_write_to_it_says_so(run: Path, recipe: Path):
    files = ("--reference", recipe, "--hypothesis", recipe)
    for arguments in [("translate", "--model", run), ("evaluate", *files), ("--help",)]:
        done = s2s(*arguments, closed=(1,), data=b"un\n")
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr.startswith(b"error: ") and done.stderr.endswith(NO_STDOUT), arguments
        assert done.stderr.count(b"\n") == 1


def test_nobody_who_reads_the_messages_is_no_fault(run: Path):
    reading, writing = os.pipe()
    os.close(reading)

    def gone() -> None:
        os.dup2(writing, 2)

    try:
        done = subprocess.run(
            [sys.executable, "-m", "s2s_cli", "translate", "--model", str(run), "--threads", "1"],
            **{"input": b"un deux\n\xff\nun\n", "stdout": subprocess.PIPE, "timeout": 120, "cwd": ROOT},
            preexec_fn=gone,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 3)
