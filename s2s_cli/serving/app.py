"""The application: which path is answered by what, and what all answers have in common."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from s2s_cli import console
from s2s_cli.errors import DataError, printable
from s2s_cli.serving.deepl import DeepL
from s2s_cli.serving.fields import read_fields
from s2s_cli.serving.files import FILES
from s2s_cli.serving.libretranslate import LibreTranslate
from s2s_cli.serving.limits import Refused
from s2s_cli.serving.looking import Metrics, log_line
from s2s_cli.serving.openapi import document
from s2s_cli.serving.service import Service

MOST_EXPLAINED = 4  # sentences
GONE = 499  # the status of a request whose client has gone, as nginx logs it

SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
CROSS_ORIGIN = {"access-control-allow-origin": "*"}  # as LibreTranslate: keys are no cookies
PREFLIGHT = {  # besides CROSS_ORIGIN, which every answer has
    "access-control-allow-methods": "GET, POST, OPTIONS",
    "access-control-allow-headers": "Authorization, Content-Type",
    "access-control-max-age": "86400",
}
HEADERS = [(name.encode(), value.encode()) for name, value in (SECURITY | CROSS_ORIGIN).items()]

Answer = Callable[[Request], Awaitable[Any]]


class Door:
    """Around the application: each request is counted and logged once, and ends with an answer whatever happens."""

    def __init__(self, app: ASGIApp, metrics: Metrics, log: str, routes: frozenset[str]) -> None:
        self._app, self._metrics, self._log, self._routes = app, metrics, log, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), GONE
        state = scope.setdefault("state", {})
        self._metrics.begun()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - begun
            path = scope["path"]
            characters = state.get("characters", 0)
            self._metrics.request(path if path in self._routes else "other", status, seconds, characters)
            facts = {"method": printable(scope["method"], 10), "path": printable(path, 100), "status": status}
            facts |= {"ms": round(1000 * seconds, 1), "client": (scope.get("client") or ("?",))[0]}
            facts |= {"pair": state["pair"]} if "pair" in state else {}
            log_line(self._log, facts | ({"characters": characters} if characters else {}))


class Entry(NamedTuple):
    """A row of the table of routes."""

    path: str
    methods: tuple[str, ...]
    answer: Answer


def build_app(service: Service, metrics: Metrics, log: str, lifespan: Any = None) -> ASGIApp:
    """The whole application."""
    entries = [
        *_of_programs(service, metrics),
        *(Entry(path, ("GET",), _static(file.kind, file.content)) for path, file in FILES.items()),
    ]
    routes = [Route(entry.path, _responding(entry.answer), methods=list(entry.methods)) for entry in entries]
    for entry in entries:
        routes.append(Route(entry.path, _preflight, methods=["OPTIONS"]))
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=_HANDLERS)
    app.router.redirect_slashes = False
    return Door(app, metrics, log, frozenset(entry.path for entry in entries))


def _of_programs(service: Service, metrics: Metrics) -> list[Entry]:
    libre, deepl = LibreTranslate(service), DeepL(service)

    async def health(request: Request) -> Any:
        return {"status": "ok"}

    async def show_metrics(request: Request) -> Any:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def openapi(request: Request) -> Any:
        return document(service)

    async def explain(request: Request) -> Any:
        fields = await read_fields(request, service.limits)
        account = service.keys.account(fields.word("api_key", "") or None)
        texts, _ = fields.texts("q")
        pair = (fields.word("source"), fields.word("target"))
        if pair not in service.models.numbers:
            raise Refused(400, f"{printable('-'.join(pair), 40)} is not supported")
        with service.charged(request, account, texts):
            return {"parts": await service.explain(request, "\n".join(texts), pair, MOST_EXPLAINED)}

    return [
        Entry("/translate", ("POST",), libre.translate),
        Entry("/detect", ("POST",), libre.detect),
        Entry("/languages", ("GET",), libre.languages),
        Entry("/frontend/settings", ("GET",), libre.settings),
        Entry("/health", ("GET",), health),
        Entry("/v2/translate", ("POST",), deepl.translate),
        Entry("/v2/languages", ("GET", "POST"), deepl.languages),
        Entry("/v2/usage", ("GET", "POST"), deepl.usage),
        Entry("/api/explain", ("POST",), explain),
        Entry("/metrics", ("GET",), show_metrics),
        Entry("/openapi.json", ("GET",), openapi),
    ]


def json_response(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON in UTF-8. A lone surrogate, which UTF-8 lacks, is escaped."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    data = text.encode("utf-8", errors="backslashreplace")
    return Response(data, status, headers=dict(headers or {}), media_type="application/json")


def _responding(answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        try:
            content = await answer(request)
        except DataError as error:
            return _refusal(request, Refused(400, f"Invalid request: {error}"))
        except asyncio.CancelledError:  # by uvicorn, which would answer in its own way
            return _refusal(request, Refused(503, "The server is about to stop", retry_after=5))
        return content if isinstance(content, Response) else json_response(content)

    return respond


def _static(kind: str, content: bytes) -> Answer:
    async def show(request: Request) -> Response:
        return Response(content, media_type=kind, headers={"cache-control": "no-cache"})

    return show


async def _preflight(request: Request) -> Response:
    return Response(status_code=204, headers=PREFLIGHT)


def _refusal(request: Request, refused: Exception) -> Response:
    """An error in the form of the interface that was asked."""
    assert isinstance(refused, Refused)
    headers = {} if refused.retry_after is None else {"retry-after": str(refused.retry_after)}
    if refused.status in (408, 413, 415):  # the rest of the request is not read
        headers["connection"] = "close"
    return _error(request, refused.message, refused.status, headers)


def _error(request: Request, message: str, status: int, headers: Mapping[str, str]) -> Response:
    name = "message" if request.url.path.startswith("/v2/") else "error"
    return json_response({name: message}, status, headers)


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(request, str(error.detail), error.status_code, error.headers or {})


def _fault(request: Request, error: Exception) -> Response:
    """Anything else: the client learns that it failed, the log what failed."""
    console.warn(f"{request.url.path}: {type(error).__name__}: {printable(error)}")
    return _error(request, "The server failed at this request", 500, {})


def _gone(request: Request, error: Exception) -> Response:
    """Nobody reads this, but the log and the metrics have its status."""
    return Response(status_code=GONE)


_HANDLERS: dict[Any, Callable[[Request, Exception], Response]] = {
    Refused: _refusal,
    HTTPException: _http_error,
    ClientDisconnect: _gone,
    Exception: _fault,
}
