"""Whatever happens inside, a client gets an answer, and learns nothing of the inside."""

from __future__ import annotations

import asyncio
import codecs
import json
import socket
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
import uvicorn
from starlette.requests import Request

from s2s_cli.errors import MachineError
from s2s_cli.serving.app import build_app, json_response
from s2s_cli.serving.fields import read_fields
from s2s_cli.serving.languages import Detector, name_of
from s2s_cli.serving.limits import Keys, Limits, Refused
from s2s_cli.serving.looking import Metrics
from s2s_cli.serving.models import Models
from s2s_cli.serving.server import _listening, _run


def asked(app: Any, path: str) -> tuple[int, dict[str, str], bytes]:
    """The answer of an application to GET."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    with suppress(RuntimeError):  # handed on to uvicorn after the answer
        asyncio.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, sent[1]["body"]


class Broken:
    def __init__(self, fault: BaseException) -> None:
        self._fault = fault

    @property
    def sources(self) -> list[str]:
        raise self._fault


def asked_of_broken(fault: BaseException, metrics: Metrics) -> tuple[int, dict[str, str], bytes]:
    service: Any = SimpleNamespace(models=Broken(fault), limits=Limits(), keys=Keys(), detector=None)
    return asked(build_app(service, metrics, "text"), "/languages")


def test_a_fault_is_told_without_its_inside(capfd: pytest.CaptureFixture[str]):
    metrics = Metrics()
    status, headers, body = asked_of_broken(RuntimeError("the secret of the house"), metrics)
    assert status == 500 and list(json.loads(body)) == ["error"] and b"secret" not in body
    assert headers["content-security-policy"].startswith("default-src 'none'")
    told = capfd.readouterr().err
    assert "warning: /languages: RuntimeError: the secret of the house" in told and "GET /languages 500" in told
    assert b'route="/languages",status="500"' in metrics.text() and b"s2s_requests_open 0.0" in metrics.text()


def test_what_is_given_up_is_told_to_come_again(capfd: pytest.CaptureFixture[str]):
    metrics = Metrics()
    status, headers, body = asked_of_broken(asyncio.CancelledError(), metrics)
    assert status == 503 and list(json.loads(body)) == ["error"] and int(headers["retry-after"]) > 0
    assert headers["content-security-policy"] and "GET /languages 503" in capfd.readouterr().err
    assert b'route="/languages",status="503"' in metrics.text()


def test_a_charset_that_a_client_names_is_never_looked_up(monkeypatch: pytest.MonkeyPatch):
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"--x--\r\n", "more_body": False}

    kind = b"multipart/form-data; boundary=x; charset=punycode"
    scope = {"type": "http", "query_string": b"", "headers": [(b"content-type", kind)]}
    looked_up: list[str] = []
    monkeypatch.setattr(codecs, "lookup", looked_up.append)
    with pytest.raises(Refused, match="not UTF-8"):
        asyncio.run(read_fields(Request(scope, receive), Limits()))
    assert looked_up == []


def test_text_that_no_encoding_has_can_be_answered():
    assert json.loads(json_response({"a": "\ud800 ü"}).body.decode()) == {"a": "\ud800 ü"}


def test_an_answer_does_not_wait_until_its_head_is_acknowledged():
    with _listening("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


def test_the_time_to_stop_may_be_less_than_a_second(monkeypatch: pytest.MonkeyPatch):
    async def serve(server: uvicorn.Server, sockets: Any) -> None:
        assert server.config.timeout_graceful_shutdown == 0.4

    monkeypatch.setattr(uvicorn.Server, "serve", serve)
    _run(None, cast("Any", None), Limits(stop_seconds=0.4))


@pytest.mark.parametrize(("code", "meant"), [("PT-br", "pt_BR"), ("pt", "pt_BR"), ("zh_Hans", "zh")])
def test_a_language_is_known_however_it_is_written(code: str, meant: str):
    assert Models([], {}).spelled(code, ["pt_BR", "zh"]) == meant
    assert Models([], {}).spelled("p", ["pt_BR", "zh"]) is None
    assert name_of(code) == name_of(meant) != meant


def test_a_code_that_is_long_means_no_language():
    assert Models([], {}).spelled("pt" + "-" * 98, ["pt_BR", "zh"]) == "pt_BR"
    assert Models([], {}).spelled("pt" + "-" * 99, ["pt_BR", "zh"]) is None


def test_languages_that_nothing_tells_apart_are_not_guessed():
    with pytest.raises(Refused, match="name its source"):
        asyncio.run(Detector(["qaa", "qab"]).guesses("some text"))


@pytest.mark.parametrize("host", ["a..b", "ä..b", "192.0.2.1"])
def test_where_nothing_can_listen(host: str):
    with pytest.raises(MachineError, match="cannot listen"):
        _listening(host, 0)
