"""Servers of other programs, run for a while."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from s2s_cli.errors import MachineError
from scripts.bench.processes import Command

PATIENCE = 120.0  # seconds


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


@contextmanager
def serving(command: Command, port: int) -> Iterator[None]:
    """The server that this command starts on the port, from when it listens to the end. Raises MachineError."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command.arguments, stdout=log, stderr=log, env=command.variables())
        try:
            deadline = time.monotonic() + PATIENCE
            while not _listens(port) and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.1)
            if not _listens(port):
                raise MachineError(f"the server does not start: {os.pread(log.fileno(), 4096, 0).decode()}")
            yield
        finally:
            process.terminate()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0
