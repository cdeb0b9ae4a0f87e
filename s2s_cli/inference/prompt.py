"""A prompt for lines typed at a terminal, with a history that lasts."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Iterator

from s2s_cli import console
from s2s_cli.folders import state_folder

HISTORY_LINES = 1000  # most lines that are kept


def is_wanted() -> bool:
    """Whether somebody types, and reads the answers at the same place."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def typed_lines(prompt: str) -> Generator[list[bytes]]:
    """Windows of one line each, as `translate_windows` takes them, until Ctrl-D.

    Ctrl-C gives up the line that is being typed. Both keys leave the cursor on a line of its own. Lines can be edited
    and called back where Python has readline, without which the terminal's own editing is left.
    """
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]  # bytes that are no text are told later
    console.say("One line in, one line out. Ctrl-D ends.")
    with _history():
        while True:
            try:
                line = input(prompt)
            except KeyboardInterrupt:
                print()
            except EOFError:
                print()
                return
            else:
                yield [line.encode("utf-8", errors="surrogateescape")]


@contextlib.contextmanager
def _history() -> Iterator[None]:
    """Let `input` edit lines and remember them, from one session to the next."""
    try:
        import readline  # late: it takes over the terminal

        path = state_folder() / "history"
    except (ImportError, OSError):  # no editing here, or no home to remember in
        yield
        return
    with contextlib.suppress(OSError):  # none yet
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(HISTORY_LINES)
        with contextlib.suppress(OSError):  # a convenience: nothing fails for want of it
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            readline.write_history_file(path)
