"""`s2s` as a process of its own: in a new Python, or forked from a server that has imported what the commands import.

A new Python takes seconds until it comes to the command. The server is a process in which nothing else ever runs: it
has no thread that a fork could cut off with a lock in its hand. What it forks goes through the same door, with streams
and environment of its own. With S2S_FRESH=1, as in `make test-all`, each process is a new Python.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import NamedTuple

from scripts.tortures.task import ROOT, command

PATIENCE = 300.0  # seconds until a process that has not ended is taken to hang, on a busy machine
ALWAYS_FRESH = os.environ.get("S2S_FRESH") == "1"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random", "PYTHONPATH": str(ROOT)}

Streams = tuple[int, int, int]
Before = Callable[[], object] | None

server = multiprocessing.get_context("forkserver")
server.set_forkserver_preload(
    ["s2s_cli.cli.app", "s2s_cli.training.dry_run", "s2s_cli.inference.translation", "sacrebleu"]
)


class Ended(NamedTuple):
    """The exit code, or a signal as a negative number; what was left on stdout; stderr."""

    code: int
    output: bytes
    messages: bytes


class Started:
    """A running `s2s ARGUMENTS`.

    stdin, stdout: descriptors; by default `stdin` and `stdout` are the other ends of pipes. before: called in the
    process first of all; a function of a module, or a partial one. fresh: in a new Python. forked: never in a new
    Python, where all that `before` changes in the program would be lost.
    """

    def __init__(
        self,
        *arguments: object,
        stdin: int | None = None,
        stdout: int | None = None,
        cwd: Path = ROOT,
        before: Before = None,
        fresh: bool = False,
        forked: bool = False,
    ) -> None:
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115
        (reading, writing), (outlet, inlet) = os.pipe(), os.pipe()
        self.stdin, self.stdout = os.fdopen(writing, "wb", buffering=0), os.fdopen(outlet, "rb", buffering=0)
        start = _start_fresh if fresh or (ALWAYS_FRESH and not forked) else _fork
        streams = (reading if stdin is None else stdin, inlet if stdout is None else stdout, self._messages.fileno())
        self._process = start(list(map(str, arguments)), streams, cwd, before)
        os.close(reading)
        os.close(inlet)

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        process = self._process
        return process.exitcode if isinstance(process, BaseProcess) else process.poll()

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self.pid, number)

    def wait(self) -> int:
        deadline = time.monotonic() + PATIENCE
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, "the process hangs"
            time.sleep(0.005)
        return code

    def write(self, data: bytes) -> None:
        """Hand it some input."""
        while data:
            data = data[self.stdin.write(data) :]

    def finish(self, data: bytes = b"") -> Ended:
        """Hand it the rest of its input, and wait for its end."""
        guard = threading.Timer(PATIENCE, self._process.kill)
        guard.start()
        try:
            with suppress(BrokenPipeError):
                self.write(data)
            self.stdin.close()
            output = b"" if self.stdout.closed else self.stdout.read()
            self.stdout.close()
            code = self.wait()
        finally:
            guard.cancel()
            guard.join()
        with self._messages:
            return Ended(code, output, os.pread(self._messages.fileno(), 1 << 24, 0))

    def said(self) -> str:
        """What it has written on stderr until now."""
        return os.pread(self._messages.fileno(), 1 << 24, 0).decode()

    def __enter__(self) -> Started:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()


def _start_fresh(words: list[str], streams: Streams, cwd: Path, before: Before) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "s2s_cli", *words],
        **dict(zip(("stdin", "stdout", "stderr"), streams, strict=True)),
        cwd=cwd,
        env=os.environ | ENVIRONMENT,
        preexec_fn=before,
    )


def _fork(words: list[str], streams: Streams, cwd: Path, before: Before) -> BaseProcess:
    process = server.Process(target=_run, args=(words, _Duplicates(streams), dict(os.environ), cwd, before))
    process.start()
    return process


class _Duplicates:
    """Descriptors that are handed to a process of the server with its arguments."""

    def __init__(self, descriptors: Streams) -> None:
        self.descriptors = descriptors

    def __getstate__(self) -> list[object]:
        return [DupFd(descriptor) for descriptor in self.descriptors]

    def __setstate__(self, duplicates: list) -> None:
        self.descriptors = tuple(duplicate.detach() for duplicate in duplicates)


def _run(words: list[str], streams: _Duplicates, environment: dict[str, str], cwd: Path, before: Before) -> None:
    """What a forked process does: be as if Python had just begun, run the command, and end as Python does."""
    for number, descriptor in enumerate(streams.descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.update(environment | ENVIRONMENT)
    os.chdir(cwd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if before is not None:
        before()
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        setattr(sys, name, _stream(number))
    code = command(words)
    for stream, code_of_a_fault in ((sys.stdout, 120), (sys.stderr, code)):
        try:
            stream.flush()
        except OSError:
            code = code_of_a_fault
    os._exit(code)


def _stream(number: int):
    """What Python makes of a descriptor at its start."""
    try:
        os.fstat(number)
    except OSError:
        return None
    if number == 2:
        return open(number, "w", buffering=1, errors="backslashreplace", closefd=False)
    return open(number, "w" if number else "r", closefd=False)
