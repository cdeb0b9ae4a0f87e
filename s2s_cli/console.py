"""Messages and progress bars. Everything here goes to stderr: stdout carries data and nothing else."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


_LOCK = threading.RLock()


def open_standard_streams() -> None:
    """Put /dev/null in the place of stdin, stdout and stderr where they are closed (`2>&-`).

    Otherwise the next file to be opened would take the free descriptor and receive the messages, and Python would print
    on stdout what was meant for the missing stderr. Messages are then dropped, but reading and writing data still fails
    with "Bad file descriptor", since /dev/null is opened for the opposite direction (as gnulib's `stdopen` does).
    """
    streams = (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
    for descriptor, (name, mode, flags) in enumerate(streams):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest free descriptor, which is this one
        if getattr(sys, name) is None:  # as Python leaves it for a closed descriptor
            stream = open(descriptor, mode, errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)


def say(message: str) -> None:
    """Print one line for the user, above any progress bar. If it cannot be written, it is dropped."""
    with contextlib.suppress(OSError):  # the reader has gone, or the disk is full
        if "tqdm" in sys.modules:
            _tqdm().write(message, file=sys.stderr)
        else:
            print(message, file=sys.stderr)
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """A duration for the user, such as `12.3 s`, `4 min` or `2.5 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def warn(message: str) -> None:
    """Print one line that the user should not overlook."""
    say(f"warning: {message}")


def _tqdm() -> type[tqdm]:
    """The bar, with a lock of this process: its own one is a semaphore of the system, which a process that is killed
    would leave behind."""
    from tqdm import tqdm  # late: `s2s --help` must answer at once

    tqdm.set_lock(_LOCK)
    return tqdm


class NoBar:
    """What stands for a progress bar where nobody watches: importing tqdm takes half as long as a translation."""

    def __enter__(self) -> NoBar:
        return self

    def __exit__(self, *error: object) -> None: ...

    def update(self, count: int) -> None: ...

    def set_postfix_str(self, text: str) -> None: ...

    def close(self) -> None: ...


def progress(description: str, *, total: int | None = None, unit: str = "it", start: int = 0) -> tqdm | NoBar:
    """A progress bar, if stderr is a terminal. Use it as a context manager."""
    if not sys.stderr.isatty():
        return NoBar()
    return _tqdm()(
        desc=description,
        total=total,
        initial=start,
        unit=unit,
        unit_scale=True,
        dynamic_ncols=True,
        file=sys.stderr,
        leave=False,
    )
