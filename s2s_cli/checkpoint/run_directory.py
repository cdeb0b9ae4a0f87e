"""The directory of a run: its paths, and the lock that keeps other processes out."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from s2s_cli import atomic, console
from s2s_cli.checkpoint.model_directory import CONFIG, refuse_foreign
from s2s_cli.errors import MachineError, UsageError, printable
from s2s_cli.sealed import foreign_file

_ELSEWHERE = "name another --run, or move it"
_HOLDER = "process"  # the first word of a lock
_HOLDER_BYTES = 500  # most that is read of what a lock says


@dataclass(frozen=True)
class RunDirectory:
    """The paths of a run. Nothing is created before it is needed."""

    root: Path
    _held: list[tuple[bytes, os.stat_result]] = field(default_factory=list, init=False, repr=False, compare=False)
    """What the lock says of this process, while it holds it, and the folder at that time."""

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

        Raises `UsageError` within seconds if another process holds the lock, naming that process; and if there are
        files that are none of a run where its own would take their place.
        """
        path = self.root / "lock"
        if self.root.exists() and not self.root.is_dir():
            raise UsageError("is no folder, and a run is one", where=self.root, hint=_ELSEWHERE)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._refuse_foreign(path)
            descriptor = _acquire(path)
        except OSError as error:
            raise MachineError(f"cannot be written: {error.strerror}", where=path) from error
        with atomic.unshared(descriptor):
            self._held.append((os.pread(descriptor, _HOLDER_BYTES, 0), self.root.stat()))
            try:
                yield
            finally:
                self._held.pop()

    def require_lock(self) -> None:
        """Raise `MachineError` if the folder was removed or replaced while this process held its lock, or if another
        process has taken it since somebody removed the lock."""
        for told, root in self._held:
            try:
                is_ours = (self.root / "lock").read_bytes() == told
            except FileNotFoundError:
                is_ours = self.root.is_dir() and os.path.samestat(self.root.stat(), root)
            except OSError:
                continue
            if not is_ours:
                raise MachineError("was removed or replaced while it was in use, and is left alone", where=self.root)

    def _refuse_foreign(self, lock: Path) -> None:
        """Raise `UsageError` for what is none of a run, and would be replaced, or made useless."""
        if (self.root / CONFIG).exists():
            raise UsageError("is a model, and no run", where=self.root, hint=_ELSEWHERE)
        for path, ours in ((self.recipe, "recipe"), (self.metrics, "figures")):
            if path.exists() and not lock.exists():
                raise UsageError(f"would be replaced by the {ours} of the run", where=path, hint=_ELSEWHERE)
        if lock.is_file() and not _is_lock(lock):
            raise UsageError("is no lock of a run, and is not replaced", where=lock, hint=_ELSEWHERE)
        if self.data.exists() and not self.data.is_dir():
            raise UsageError("is no folder, and is not replaced by one", where=self.data, hint=_ELSEWHERE)
        if self.data.is_dir() and (name := foreign_file(self.data, levels=2)):
            what = f"holds other files than prepared data ({printable(name)}), and is not replaced"
            raise UsageError(what, where=self.data, hint="name another --run, or move them away")
        refuse_foreign(self.model)


def _acquire(path: Path) -> int:
    """A descriptor that holds the lock. The file stays after release: only a lock on it shows that it is in use."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        _lock(descriptor, path.parent)
        if not atomic.is_at(path, descriptor):
            raise UsageError("was removed or replaced at this moment", where=path.parent, hint="try again")
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{_HOLDER} {os.getpid()} on {socket.gethostname()} since {since}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_lock(path: Path) -> bool:
    """Whether a file has what a lock has. One that was just made is empty, and after a power cut it may be zeros."""
    with path.open("rb") as file:
        content = file.read(len(_HOLDER))
    return content.strip(b"\0") in (b"", _HOLDER.encode())


def _lock(descriptor: int, root: Path) -> None:
    try:
        atomic.take(descriptor)
    except BlockingIOError as error:
        told = os.pread(descriptor, _HOLDER_BYTES, 0).decode("utf-8", "replace").strip()
        holder = printable(told) or "another process"
        hint = "wait for its end, or name another --run"
        raise UsageError(f"is in use by {holder}", where=root, hint=hint) from error
    except OSError as error:
        console.warn(f"{root}: this file system has no locks ({error.strerror}); do not start a second training here")
