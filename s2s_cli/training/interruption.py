"""SIGINT and SIGTERM during training: finish the update, save, exit. A second signal exits at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from s2s_cli.errors import ExitCode

EXIT_CODES = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED}
NOTICE = b"stopping after this update; send the signal again to exit at once\n"


class Abandoned(Exception):
    """A stop was requested during work that can be repeated."""


class StopRequest:
    """Whether, and by which exit code, the program was asked to stop.

    tells: whether it prints a notice when the signal arrives.
    """

    def __init__(self, tells: bool = True) -> None:
        self.exit_code: ExitCode | None = None
        self._tells = tells
        self._abandons = False

    def __bool__(self) -> bool:
        return self.exit_code is not None

    @contextmanager
    def abandoning(self) -> Iterator[None]:
        """While inside, a request raises `Abandoned` instead of waiting for the end of the block."""
        self._abandons = True
        try:
            if self:
                raise Abandoned
            yield
        finally:
            self._abandons = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        """The signal handler."""
        code = EXIT_CODES[signal.Signals(number)]
        if self:
            os._exit(code)  # the checkpoint on disk is complete
        self.exit_code = code
        if self._tells:
            with suppress(OSError):
                os.write(2, NOTICE)  # a plain write: the signal may have come in the middle of a print
        if self._abandons:
            raise Abandoned


@contextmanager
def stop_requests(*, tells: bool = True) -> Iterator[StopRequest]:
    """While inside, the first signal only sets the request."""
    request = StopRequest(tells)
    previous = {number: signal.signal(number, request.receive) for number in EXIT_CODES}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
