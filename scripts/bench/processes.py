"""Programs that are timed: run to their end or stopped, with their peak memory. For Linux."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from s2s_cli.errors import MachineError

_MARK = "S2S_BENCHMARK"
_LOOK_EVERY = 1.0  # seconds between two looks at a program that runs
_PATIENCE = 60.0  # seconds that a program has to stop when it is told to


@dataclass(frozen=True)
class Command:
    """A program with its arguments, changes of the environment (None: unset), stdin and stdout."""

    arguments: list[str]
    environment: Mapping[str, str | None] = field(default_factory=dict)
    source: Path | None = None
    output: Path | None = None

    def variables(self, **own: str) -> dict[str, str]:
        """The environment that it runs in. own: variables that are added."""
        changed = {**os.environ, **own, **self.environment}
        return {name: value for name, value in changed.items() if value is not None}


@dataclass(frozen=True)
class Ended:
    """seconds: from start to end. peak_bytes: the most memory of all processes together."""

    seconds: float
    peak_bytes: int


def end_on_sigterm() -> None:
    """Let SIGTERM end this program in order, so that it takes the one it runs along."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def run(command: Command, log: Path, enough: Callable[[], bool] = lambda: False) -> Ended:
    """Run a program until it ends, or stop it when it has done `enough`, which is asked once a second.

    Its messages go to `log`, and so does its stdout unless the command has a file for that. Raises MachineError if it
    fails.
    """
    mark = uuid.uuid4().hex
    began = time.perf_counter()
    child = _start(command, log, mark)
    stopped, peak = False, 0
    waiting = os.pidfd_open(child.pid)
    try:
        while not select.select([waiting], [], [], _LOOK_EVERY)[0]:
            peak = max(peak, _resident_bytes(mark))
            if not stopped and enough():
                child.terminate()
                stopped, deadline = True, time.perf_counter() + _PATIENCE
            if stopped and time.perf_counter() > deadline:
                _kill(mark)
        seconds = time.perf_counter() - began
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    finally:
        os.close(waiting)
        _kill(mark)
    if child.returncode and not stopped:
        last = log.read_text(errors="replace").strip().splitlines()[-1:]
        raise MachineError(f"{command.arguments[0]} failed: {''.join(last)}", where=log)
    return Ended(seconds, max(peak, usage.ru_maxrss * 1024))


def _start(command: Command, log: Path, mark: str) -> subprocess.Popen[bytes]:
    with (
        log.open("wb") as messages,
        (command.source or Path(os.devnull)).open("rb") as source,
        command.output.open("wb") if command.output else os.fdopen(os.dup(messages.fileno()), "wb") as output,
    ):
        return subprocess.Popen(
            command.arguments,
            stdin=source,
            stdout=output,
            stderr=messages,
            env=command.variables(**{_MARK: mark}),
        )


def _family(mark: str) -> list[Path]:
    """The folders below /proc of all processes with a mark, which children inherit."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{_MARK}={mark}".encode() in (process / "environ").read_bytes():
                found.append(process)
        except OSError:  # it ended, or is not ours
            continue
    return found


def _resident_bytes(mark: str) -> int:
    """Resident memory of all processes with a mark; what they share counts once."""
    total = 0
    for process in _family(mark):
        try:
            share = re.search(r"^Pss: +(\d+) kB", (process / "smaps_rollup").read_text(), re.MULTILINE)
        except OSError:
            continue
        total += int(share[1]) * 1024 if share else 0
    return total


def _kill(mark: str) -> None:
    """End what is left of a program: workers that outlive it, or all of it after an interruption."""
    for process in _family(mark):
        try:
            os.kill(int(process.name), signal.SIGKILL)
        except ProcessLookupError:
            continue
