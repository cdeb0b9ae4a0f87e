"""A directory that is replaced as a whole or not at all.

Beside the directory `data` there may be `.data.partial`, which is being filled, `.data.replaced`, which is being
removed, and `.data.lock`, an empty file whose lock belongs to the process that does either.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from s2s_cli.errors import MachineError


@contextmanager
def replaced_directory(target: Path) -> Iterator[Path]:
    """An empty directory to fill, which becomes `target` at the end of the block; nothing happens if the block fails.

    Raises MachineError if the disk fails, or if another process is at work on the same target.
    """
    partial = _sibling(target, "partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            _remove_leftovers(target)
            partial.mkdir()
            try:
                yield partial
                _publish(partial, target)
            finally:
                _remove_leftovers(target)
    except BlockingIOError as error:
        raise MachineError("another process is preparing the same data", where=target) from error
    except OSError as error:
        raise MachineError(f"cannot be written: {error.strerror}", where=error.filename or target) from error


def sweep(target: Path) -> None:
    """Remove what a killed process may have left beside `target`."""
    with suppress(OSError), _locked(target):  # BlockingIOError: somebody is at work on it
        _remove_leftovers(target)


def _sibling(target: Path, state: str) -> Path:
    return target.with_name(f".{target.name}.{state}")


def _remove_leftovers(target: Path) -> None:
    for state in ("partial", "replaced"):
        shutil.rmtree(_sibling(target, state), ignore_errors=True)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Hold a lock that dies with its process. Raises BlockingIOError if another process has it."""
    with _sibling(target, "lock").open("w") as file:
        # Unlike flock's, a lock of this kind is not inherited by workers, which may outlive a killed parent a little.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _publish(partial: Path, target: Path) -> None:
    """Flush everything to the disk, then rename."""
    for folder, _, names in os.walk(partial):
        for path in (*(Path(folder, name) for name in names), Path(folder)):
            _flush(path)
    if target.exists():
        os.rename(target, _sibling(target, "replaced"))  # killed here, there is no target: the next run makes it anew
    os.rename(partial, target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
