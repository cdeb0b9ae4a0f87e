"""The directory of a run: its paths, and the lock that keeps other processes out."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from s2s_cli import atomic, console
from s2s_cli.errors import MachineError, UsageError, printable


@dataclass(frozen=True)
class RunDirectory:
    """The paths of a run. Nothing is created before it is needed."""

    root: Path

    @classmethod
    def keeps(cls, recipe: Path) -> bool:
        """Whether this recipe lies in a run directory, as the recipe of that run."""
        return recipe == cls(recipe.parent).recipe and recipe.with_name("lock").is_file()

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.root / "recipe.yaml"

    @property
    def data(self) -> Path:
        """Tokenizers and token shards."""
        return self.root / "data"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def metrics(self) -> Path:
        """Every figure of the run, one JSON object a line."""
        return self.root / "metrics.jsonl"

    @property
    def model(self) -> Path:
        """The exported model."""
        return self.root / "model"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes from writing into this run until the block is left or the process dies.

        Raises `UsageError` within seconds if another process holds the lock, naming that process.
        """
        path = self.root / "lock"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            descriptor = _acquire(path)
        except OSError as error:
            raise MachineError(f"cannot be written: {error.strerror}", where=path) from error
        with atomic.unshared(descriptor):
            yield


def _acquire(path: Path) -> int:
    """A descriptor that holds the lock. The file stays after release: only a lock on it shows that it is in use."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        _lock(descriptor, path.parent)
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lock(descriptor: int, root: Path) -> None:
    try:
        atomic.take(descriptor)
    except BlockingIOError as error:
        holder = printable(os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()) or "another process"
        hint = "wait for its end, or name another --run"
        raise UsageError(f"is in use by {holder}", where=root, hint=hint) from error
    except OSError as error:
        console.warn(f"{root}: this file system has no locks ({error.strerror}); do not start a second training here")
