"""Errors that a user can act upon, and the exit code of each.

Every fault that a user may meet is raised as a `UserError`: one sentence that says what happened, where, and what to
do about it. `s2s_cli.cli` is the one place that turns them into messages and exit codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The exit code of the process."""

    DONE = 0
    MACHINE = 1  # a fault of the machine: disk full, file unreadable, memory
    USAGE = 2  # wrong options or a wrong recipe
    DATA = 3  # bad data: corpora, models, checkpoints
    INTERRUPTED = 130  # SIGINT
    TERMINATED = 143  # SIGTERM


class UserError(Exception):
    """A fault with its place and its remedy.

    what: one clause without a full stop ("the two sides differ in length: 100 and 99 lines").
    where: a file, `file:line`, or an option, if there is one.
    hint: what to do about it, if it is not obvious.
    """

    exit_code = ExitCode.MACHINE

    def __init__(self, what: str, *, where: object = None, hint: str | None = None) -> None:
        self.what, self.where, self.hint = what, None if where is None else str(where), hint
        super().__init__(what)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled by what it holds, since the arguments of `__init__` are others in each class."""
        return _again, (type(self), self.args, vars(self))

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f" ({self.hint})" if self.hint else ""
        return f"{place}{self.what}{remedy}"


class MachineError(UserError):
    """The machine failed: a full disk, an unreadable file, no memory."""


class UsageError(UserError):
    """Wrong options."""

    exit_code = ExitCode.USAGE


class RecipeError(UsageError):
    """One or more faults in a recipe, reported together."""

    def __init__(self, faults: list[UserError]) -> None:
        self.faults = faults
        super().__init__("\n".join(str(fault) for fault in faults))


class DataError(UserError):
    """Corpora, tokenizers or texts that cannot be used."""

    exit_code = ExitCode.DATA


class CheckpointError(DataError):
    """A sealed directory (checkpoint, model, prepared data) that is damaged, foreign or missing."""


class Stopped(UserError):
    """The user or the system asked the program to stop; finished work has been saved."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, what: str, *, exit_code: ExitCode, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.exit_code = exit_code


def _again(kind: type[UserError], args: tuple[Any, ...], state: dict[str, Any]) -> UserError:
    """The error that was pickled."""
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


@contextmanager
def faults_of_reading(where: object) -> Iterator[None]:
    """Raise MachineError, which names this place, for an OSError in the block."""
    try:
        yield
    except OSError as error:
        raise MachineError(f"cannot be read: {error.strerror or error}", where=where) from error


def printable(value: object, most: int = 200) -> str:
    """Untrusted text made safe for a message: one line of visible characters, cut after `most` of them."""
    text = str(value)
    visible = "".join(character if character.isprintable() else "?" for character in text[:most])
    return visible if len(text) <= most else f"{visible}..."


def is_lack_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. PyTorch's errors are recognised by their text, so that it need not be imported."""
    if isinstance(error, RuntimeError):
        return any(sign in str(error) for sign in ("out of memory", "can't allocate memory", "not enough memory"))
    return isinstance(error, MemoryError)
