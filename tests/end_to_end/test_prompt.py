"""`s2s translate` at a terminal: a real process on a pseudo-terminal of its own."""

from __future__ import annotations

import fcntl
import os
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from starts import PATIENCE
from test_translate_process import export

from s2s_cli import Translator
from s2s_cli.errors import ExitCode

pytestmark = pytest.mark.skipif(find_spec("readline") is None, reason="no readline")
PROMPT = b"fr> "
CTRL_D, PREVIOUS = b"\x04", b"\x10"  # PREVIOUS: Ctrl-P, the line before in the history


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("prompt") / "tiny")


@pytest.fixture(scope="module")
def answers(run: Path) -> dict[str, bytes]:
    lines = ["un", "deux"]
    return {line: each.text.encode() for line, each in zip(lines, Translator.load(run).translate(lines), strict=True)}


class Terminal:
    """What a user sees and types."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.seen = descriptor, b""

    def type(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def interrupt(self, process: subprocess.Popen[bytes]) -> None:
        """Press Ctrl-C while Python waits for a key: it misses the one that comes between a key and the next wait."""
        while _state(process.pid) != "S":
            time.sleep(0.001)
        self.type(b"\x03")

    def wait_for(self, text: bytes, count: int) -> None:
        """Read on until `text` was seen so often."""
        while self.seen.count(text) < count:
            assert select.select([self.descriptor], [], [], PATIENCE)[0], self.seen
            try:
                data = os.read(self.descriptor, 4096)
            except OSError:  # Linux's way to say that the other side has gone
                data = b""
            assert data, self.seen
            self.seen += data


def _state(pid: int) -> str:
    """What the main thread of a process does: S is to wait for something, as proc(5) of Linux has it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def at_a_terminal(
    run: Path, state: Path, *options: str, path: str = "", **streams: Any
) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """A process that has a terminal for its stdin and its stdout, unless `streams` says otherwise."""
    ours, theirs = os.openpty()
    environment = os.environ | {"XDG_STATE_HOME": str(state), "TERM": "dumb"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-m", "s2s_cli", "translate", "--model", str(run), "--threads", "1", *options],
        **{"stdin": theirs, "stdout": theirs, "stderr": subprocess.PIPE} | streams,
        env=environment,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # Ctrl-C is for the process that has the terminal
    ) as process:
        os.close(theirs)
        try:
            yield Terminal(ours), process
        finally:
            process.kill()
            os.close(ours)


def test_lines_are_answered_given_up_and_called_back(run: Path, tmp_path: Path, answers: dict[str, bytes]) -> None:
    with at_a_terminal(run, tmp_path) as (terminal, process):
        terminal.wait_for(PROMPT, 1)
        terminal.type(b"un\n")
        terminal.wait_for(PROMPT, 2)
        terminal.type(b"half")
        terminal.wait_for(b"half", 1)
        terminal.interrupt(process)
        terminal.wait_for(PROMPT, 3)
        terminal.type(PREVIOUS + b"\n")
        terminal.wait_for(PROMPT, 4)
        terminal.type(CTRL_D)
        assert process.wait(timeout=PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b"One line in, one line out. Ctrl-D ends.\n"
    assert answers["un"] and terminal.seen.count(b"\r\n" + answers["un"] + b"\r\n" + PROMPT) == 2
    history = tmp_path / "s2s" / "history"
    assert history.read_text() == "un\n"
    assert history.stat().st_mode & 0o077 == 0

    with at_a_terminal(run, tmp_path) as (terminal, process):  # another time
        terminal.wait_for(PROMPT, 1)
        terminal.type(PREVIOUS + b"\n")
        terminal.wait_for(b"\r\n" + answers["un"] + b"\r\n", 1)
        terminal.wait_for(PROMPT, 2)
        terminal.type(CTRL_D)
        assert process.wait(timeout=PATIENCE) == 0


def test_what_was_typed_is_remembered_however_it_ends(run: Path, tmp_path: Path) -> None:
    with at_a_terminal(run, tmp_path, "--json-input") as (terminal, process):
        terminal.wait_for(PROMPT, 1)
        terminal.type(b"no request\n")
        assert process.wait(timeout=PATIENCE) == ExitCode.DATA
    assert (tmp_path / "s2s" / "history").read_text() == "no request\n"


def test_without_readline_there_is_a_prompt_still(run: Path, tmp_path: Path, answers: dict[str, bytes]) -> None:
    (tmp_path / "readline.py").write_text("raise ImportError\n")
    with at_a_terminal(run, tmp_path, path=str(tmp_path)) as (terminal, process):
        terminal.type(b"deux\n")
        terminal.wait_for(b"\r\n" + answers["deux"] + b"\r\n", 1)
        terminal.type(CTRL_D)
        assert process.wait(timeout=PATIENCE) == 0
    assert not (tmp_path / "s2s").exists()


def test_where_the_output_goes_elsewhere_there_is_no_prompt(
    run: Path, tmp_path: Path, answers: dict[str, bytes]
) -> None:
    with at_a_terminal(run, tmp_path, stdout=subprocess.PIPE) as (terminal, process):
        terminal.type(b"un\n" + CTRL_D)
        assert process.communicate(timeout=PATIENCE) == (answers["un"] + b"\n", b"")
        assert process.returncode == 0
    assert not (tmp_path / "s2s").exists()
