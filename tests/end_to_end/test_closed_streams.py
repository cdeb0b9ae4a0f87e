"""The commands with stdin, stdout or stderr closed (`<&-`, `>&-`, `2>&-`), or with nobody who reads stderr.

stdout is data and nothing else: no message appears there, nor in a file that got the number of a closed descriptor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
from digits import log_of, write_task
from starts import Ended, Started

NO_STDIN = b"error: <stdin>: cannot be read: Bad file descriptor\n"
NO_STDOUT = b"Bad file descriptor\n"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"), pairs=64)


def s2s(*arguments: object, closed: Iterable[int], data: bytes = b"", fresh: bool = False) -> Ended:
    """Run a command with these descriptors closed."""
    return Started(*arguments, before=partial(close, tuple(closed)), fresh=fresh).finish(data)


def close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


@pytest.fixture(scope="module")
def run(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves that had none of the three."""
    run = tmp_path_factory.mktemp("run") / "run"
    assert s2s("train", recipe, "--run", run, "--set", "training.epochs=1", closed=(0, 1, 2), fresh=True) == (
        0,
        b"",
        b"",
    )
    return run


def test_a_training_needs_none_of_them(run: Path):
    assert log_of(run)  # every line is JSON
    assert (run / "lock").read_text().count("\n") == 1  # the first file that is opened, and kept open


def test_messages_do_not_go_to_stdout(run: Path, recipe: Path, tmp_path: Path):
    (tmp_path / "text").write_bytes(b"un deux\n\xff\n")
    for arguments, data, fresh in [
        (("translate", "--model", run), b"un deux\n\xff\n", True),  # warns of invalid UTF-8
        (("translate", "--model", run, tmp_path / "text"), b"", False),  # opens a file first of all
        (("translate", "--model", tmp_path), b"", False),  # ends with an error
        (("evaluate", "--reference", recipe), b"un\n", True),
        (("evaluate", "--model", run, "--chrf"), b"", False),
        (("translate", "--nonsense"), b"", True),
        (("prep", recipe, "--run", tmp_path / "run", "--json"), b"", False),
    ]:
        quiet = s2s(*arguments, closed=(2,), data=data, fresh=fresh)
        usual = s2s(*arguments, closed=(), data=data)
        assert (quiet.code, quiet.output) == (usual.code, usual.output), arguments
        assert quiet.messages == b""


def test_where_there_is_no_stdin_to_read_it_says_so(run: Path, recipe: Path):
    for arguments, fresh in [(("translate", "--model", run), False), (("evaluate", "--reference", recipe), True)]:
        assert s2s(*arguments, closed=(0,), fresh=fresh) == (1, b"", NO_STDIN), arguments


def test_where_there_is_no_stdout_to_write_to_it_says_so(run: Path, recipe: Path):
    files = ("--reference", recipe, "--hypothesis", recipe)
    for arguments, fresh in [(("translate", "--model", run), False), (("evaluate", *files), True), (("--help",), True)]:
        code, output, messages = s2s(*arguments, closed=(1,), data=b"un\n", fresh=fresh)
        assert (code, output) == (1, b"")
        assert messages.startswith(b"error: ") and messages.endswith(NO_STDOUT), arguments
        assert messages.count(b"\n") == 1


def leave_nobody_to_read_messages() -> None:
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_nobody_who_reads_the_messages_is_no_fault(run: Path):
    command = ("translate", "--model", run, "--threads", "1")
    done = Started(*command, before=leave_nobody_to_read_messages).finish(b"un deux\n\xff\nun\n")
    assert (done.code, done.output.count(b"\n")) == (0, 3)
