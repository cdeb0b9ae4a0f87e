"""Connections that take too long are ended: uvicorn itself waits for ever for a request and for a reader."""

from __future__ import annotations

from typing import Any


def timed(protocol: type[Any], read_seconds: float, answer_seconds: float) -> type[Any]:
    """A protocol of uvicorn with time limits.

    read_seconds: from the connection, or the first byte after an answer, until a request's head is there.
    answer_seconds: from then until its answer has been sent, so that a reader who does not read holds nothing for ever.
    """

    class Timed(protocol):
        _timer: Any = None
        _seen: Any = None  # the cycle of the last request

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._arm(read_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not self._seen:
                self._seen = self.cycle
                self._arm(answer_seconds)
            elif self._timer is None:
                self._arm(read_seconds)

        def on_response_complete(self) -> None:
            self._disarm()
            if self.transport.get_write_buffer_size():
                self._arm(answer_seconds)
            super().on_response_complete()

        def _arm(self, seconds: float) -> None:
            self._disarm()
            self._timer = self.loop.call_later(seconds, self.transport.abort)

        def _disarm(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Timed
