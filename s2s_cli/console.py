"""Messages and progress bars. Everything here goes to stderr: stdout carries data and nothing else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


def say(message: str) -> None:
    """Print one line for the user, above any progress bar."""
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(message, file=sys.stderr)
    else:
        print(message, file=sys.stderr)
    sys.stderr.flush()


def warn(message: str) -> None:
    """Print one line that the user should not overlook."""
    say(f"warning: {message}")


def progress(description: str, *, total: int | None = None, unit: str = "it", start: int = 0) -> tqdm:
    """A progress bar, which is silent where stderr is not a terminal. Use it as a context manager."""
    from tqdm import tqdm  # late: `s2s --help` must answer at once

    return tqdm(
        desc=description,
        total=total,
        initial=start,
        unit=unit,
        unit_scale=True,
        dynamic_ncols=True,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        leave=False,
    )
