"""What uvicorn leaves open: it waits for ever for a request and for a reader, and keeps a head however long it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

MOST_HEAD = 1 << 16
"""Bytes of a request's first line and headers. One read may bring some more."""
MOST_PIPELINED = 100
"""Requests that may wait on a connection for the answer of another one. One read may bring some more."""


def guarded(protocol: type[Any], *, read_seconds: float, answer_seconds: float, most_bytes: int) -> type[Any]:
    """A protocol of uvicorn with limits.

    read_seconds: from the connection, or the first byte after an answer, until a request's head is there.
    answer_seconds: from then until its answer has been sent, so that a reader who does not read holds nothing for ever.
    most_bytes: after the head, whatever they are.
    """

    class Guarded(protocol):
        _timer: Any = None
        _seen: Any = None  # the cycle of the last request
        _heard = 0  # bytes of the head, or of what follows it

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._arm(read_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            before = (self.cycle, in_body := self._is_in_body())
            super().data_received(data)
            if self.cycle is not self._seen:
                self._seen = self.cycle
                self._arm(answer_seconds)
            elif self._timer is None:
                self._arm(read_seconds)
            in_body = self._is_in_body()
            self._heard = self._heard + len(data) if (self.cycle, in_body) == before else 0
            if self.transport.is_closing():
                return
            if self._heard > (most_bytes if in_body else MOST_HEAD):
                self._refuse(413 if in_body else 431, "Invalid request: it is too long")
            elif len(self._pipelined()) > MOST_PIPELINED:
                self.transport.abort()

        def on_header(self, name: bytes, value: bytes) -> None:
            if "path" not in self.scope:  # else the head is over: a trailer, which nobody asks for
                super().on_header(name, value)

        def on_response_complete(self) -> None:
            self._disarm()
            if self.transport.get_write_buffer_size() or self._pipelined():
                self._arm(answer_seconds)
            super().on_response_complete()

        def send_400_response(self, msg: str) -> None:
            self._refuse(400, "Invalid request: this is not HTTP")

        def _pipelined(self) -> Sequence[Any]:
            """Requests that came before the one before them was answered; h11 leaves them unread."""
            return getattr(self, "pipeline", ())

        def _is_in_body(self) -> bool:
            return self.cycle is not None and self.cycle.more_body

        def _refuse(self, status: int, message: str) -> None:
            """Answer what never becomes a request, and let the connection go."""
            body = json.dumps({"error": message}).encode()
            head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
            head += f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            self.transport.write(head.encode() + body)
            self.transport.close()

        def _arm(self, seconds: float) -> None:
            self._disarm()
            self._timer = self.loop.call_later(seconds, self.transport.abort)

        def _disarm(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Guarded


def ignoring_upgrades(protocol: type[Any]) -> type[Any]:
    """uvicorn's protocol with httptools, for which no request asks for another protocol, as a server may read it
    (RFC 9110, section 7.8). Java's client asks for HTTP/2 so.

    httptools would take the body for one of that protocol. It stops before it; then the head is parsed once more,
    without the header that asks.
    """
    from httptools import HttpParserError, HttpParserUpgrade

    class Ignoring(protocol):
        _again = b""  # the head that is to be parsed instead

        def data_received(self, data: bytes) -> None:
            self._unset_keepalive_if_required()
            while data:
                try:
                    self.parser.feed_data(data)
                    return
                except HttpParserUpgrade as asked:
                    data = self._again and self._again + data[asked.args[0] :]
                except HttpParserError:
                    return self.send_400_response("")

        def on_headers_complete(self) -> None:
            method, self._again = self.parser.get_method(), b""
            if not self.parser.should_upgrade() or method == b"CONNECT":  # which can be nothing else
                return super().on_headers_complete()
            first = b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())
            others = [b"%b: %b" % (name, value) for name, value in self.headers if name != b"upgrade"]
            self._again = b"\r\n".join([first, *others, b"", b""])

        def on_message_complete(self) -> None:
            if not self._again:
                super().on_message_complete()

    return Ignoring
