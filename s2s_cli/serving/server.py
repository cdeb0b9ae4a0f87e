"""The server as a process: models, workers, the loop, and the end."""

from __future__ import annotations

import asyncio
import importlib.util
import resource
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s2s_cli import console
from s2s_cli.cores import usable_cores
from s2s_cli.errors import MachineError
from s2s_cli.serving.aids import ServedAids
from s2s_cli.serving.batching import Batcher
from s2s_cli.serving.limits import Keys, Limits
from s2s_cli.serving.models import Models
from s2s_cli.serving.texts import Prepare

KEPT_ALIVE = 30  # seconds that a connection may be idle between two requests
BACKLOG = 2048
CHUNKING = 8
"""Bytes that a byte of a body may take where each is a chunk by itself."""


@dataclass(frozen=True)
class Settings:
    """How to serve."""

    host: str
    port: int
    """0: any free one."""
    workers: int | None
    """Processes that translate; None: one for each core."""
    batch_tokens: int
    log: str
    keys: Path | None
    beam: int | None
    engine: str
    aids: ServedAids


def serve(paths: Sequence[Path], settings: Settings, limits: Limits, prepare: Prepare) -> None:
    """Serve models until a signal comes; then take nothing new, answer what was taken, and let the signal have its way.

    prepare: finds the text in markup. Raises MachineError if the address cannot be had, and what `Models.load` raises.
    """
    from s2s_cli.serving.looking import Metrics  # with what follows, it takes a tenth of a second

    keys = Keys.read(settings.keys) if settings.keys else Keys()
    models = Models.load(paths, beam=settings.beam, engine=settings.engine, aids=settings.aids)
    metrics = Metrics()
    batcher: Batcher[Any, Any] = Batcher(
        models.make_work,
        workers=settings.workers or usable_cores(),
        budget=settings.batch_tokens,
        most_parts=models.most_parts,
        most_waiting=limits.waiting,
        watcher=metrics,
    )
    metrics.watch_queue(lambda: batcher.queue.parts, lambda: batcher.queue.tokens, lambda: batcher.alive)
    batcher.start()  # before there are sockets and a loop, of which the workers then have no copies
    try:
        from s2s_cli.serving.app import build_app
        from s2s_cli.serving.service import Service
        from s2s_cli.serving.texts import Texts

        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            batcher.attach()
            yield

        service = Service(models, Texts(models, batcher, prepare), limits, keys)
        app = build_app(service, metrics, settings.log, lifespan)
        _allow_many_connections()
        with _listening(settings.host, settings.port) as listener:
            _run(app, listener, limits)
    finally:
        batcher.close()


def _allow_many_connections() -> None:
    """Each is an open file, of which a process usually may have 1,024, for the sake of programs that use `select`."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _listening(host: str, port: int) -> socket.socket:
    """A socket that waits for connections; where, is told on stderr."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named, for asyncio sends small packets at once (TCP_NODELAY) only where it knows that it is TCP.
    # Else the body of an answer waits 40 ms for the client to acknowledge its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, TypeError) as error:  # the second for what cannot be the name of a host
        listener.close()
        reason, hint = getattr(error, "strerror", None) or error, "choose another one by --host and --port"
        raise MachineError(f"cannot listen there: {reason}", where=f"{host}:{port}", hint=hint) from error
    shown = f"[{host}]" if ":" in host else host
    console.say(f"serving on http://{shown}:{listener.getsockname()[1]}/ (Ctrl-C ends it)")
    return listener


def _run(app: Any, listener: socket.socket, limits: Limits) -> None:
    import uvicorn

    from s2s_cli.serving.connections import guarded
    from s2s_cli.serving.fields import DRAINED

    config = uvicorn.Config(
        app,
        http=guarded(
            _protocol(),
            read_seconds=limits.read_seconds,
            answer_seconds=limits.answer_seconds + limits.read_seconds,
            most_bytes=CHUNKING * DRAINED * limits.body_bytes,
        ),
        loop="asyncio",
        ws="none",
        lifespan="on",
        backlog=BACKLOG,
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEPT_ALIVE,
        timeout_graceful_shutdown=limits.stop_seconds,  # type: ignore[arg-type]  # which asyncio takes as it is
    )
    asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


def _protocol() -> type[Any]:
    """httptools parses in C; h11, which uvicorn brings along, in Python."""
    if importlib.util.find_spec("httptools"):
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

        from s2s_cli.serving.connections import ignoring_upgrades

        return ignoring_upgrades(HttpToolsProtocol)
    from uvicorn.protocols.http.h11_impl import H11Protocol

    return H11Protocol
