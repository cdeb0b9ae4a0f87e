"""Connections that take too long are ended, and no others."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httptools
import pytest

from s2s_cli.serving.connections import guarded, ignoring_upgrades


class Clock:
    """A loop whose time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waiting: list[Any] = []

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        timer = SimpleNamespace(when=self.now + seconds, call=call)
        timer.cancel = lambda: self.waiting.remove(timer) if timer in self.waiting else None
        self.waiting.append(timer)
        return timer

    def pass_by(self, seconds: float) -> None:
        self.now += seconds
        for timer in [timer for timer in self.waiting if timer.when <= self.now]:
            timer.cancel()
            timer.call()


class Protocol:
    """As those of uvicorn: `b"!"` ends the head of a request."""

    def __init__(self, loop: Clock) -> None:
        self.loop, self.cycle = loop, None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def connection_lost(self, error: Exception | None) -> None: ...

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"!"):
            self.cycle = SimpleNamespace(more_body=False)

    def on_response_complete(self) -> None: ...


@pytest.fixture
def connection() -> Any:
    made = guarded(Protocol, read_seconds=10, answer_seconds=100, most_bytes=1000)(Clock())
    made.ended = []
    made.unread = 0
    made.connection_made(
        SimpleNamespace(
            abort=lambda: made.ended.append(made.loop.now),
            get_write_buffer_size=lambda: made.unread,
            is_closing=lambda: bool(made.ended),
        )
    )
    return made


def test_a_request_must_come_in_time(connection: Any):
    connection.loop.pass_by(9)
    connection.data_received(b"GE")
    assert connection.ended == []
    connection.loop.pass_by(1)  # each byte does not begin the time anew
    assert connection.ended == [10]


def test_an_answer_has_its_own_time_and_an_idle_connection_is_left_alone(connection: Any):
    connection.data_received(b"GET!")
    connection.loop.pass_by(99)
    connection.on_response_complete()
    connection.loop.pass_by(1000)
    assert connection.ended == []
    connection.data_received(b"G")
    connection.loop.pass_by(10)
    assert connection.ended == [1109]


def test_who_does_not_read_the_answer_is_let_go(connection: Any):
    connection.data_received(b"GET!")
    connection.unread = 5
    connection.on_response_complete()
    connection.loop.pass_by(100)
    assert connection.ended == [100]


def test_nothing_happens_after_the_end(connection: Any):
    connection.data_received(b"GET!")
    connection.connection_lost(None)
    connection.loop.pass_by(1000)
    assert connection.ended == []


def test_a_request_that_waits_for_the_one_before_it_has_a_time_too(connection: Any):
    connection.pipeline = [object()]
    connection.data_received(b"GET!")
    connection.on_response_complete()
    connection.loop.pass_by(100)
    assert connection.ended == [100]


class Parsed:
    """As uvicorn's protocol with httptools: it keeps what it parses."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.requests: list[Any] = []

    def _unset_keepalive_if_required(self) -> None: ...

    def on_message_begin(self) -> None:
        self.url, self.headers = b"", []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.requests.append([self.url, self.headers, b"", "goes on"])

    def on_body(self, body: bytes) -> None:
        self.requests[-1][2] += body

    def on_message_complete(self) -> None:
        self.requests[-1][3] = "ended"


def test_what_asks_for_another_protocol_is_a_request_wherever_it_is_cut():
    asked = b"POST /a HTTP/1.1\r\nConnection: Upgrade\r\nUPGRADE: h2c\r\n%b\r\n\r\n%b"
    text = b"\r\n\r\nUpgrade: text"
    data = asked % (b"Content-Length: 17", text)
    data += asked % (b"Transfer-Encoding: chunked", b"11\r\n%b\r\n0\r\n\r\n" % text)
    lengths = [(b"content-length", b"17"), (b"transfer-encoding", b"chunked")]
    expected = [[b"/a", [(b"connection", b"Upgrade"), length], text, "ended"] for length in lengths]
    for cut in range(len(data)):
        connection = ignoring_upgrades(Parsed)()
        connection.data_received(data[:cut])
        connection.data_received(data[cut:])
        assert connection.requests == expected
