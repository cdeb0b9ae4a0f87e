"""What can be seen of the server: metrics in Prometheus' form, and a line in the log for each request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from s2s_cli import console

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOKENS = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


class Metrics:
    """All metrics. They are the server's own: another server in the same process has others."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("s2s_requests", "Requests answered.", ("route", "status"), registry=registry)
        self._seconds = Histogram(
            "s2s_request_seconds",
            "From a request's first line to its answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self._characters = Counter("s2s_characters", "Characters of texts accepted.", registry=registry)
        self._sizes = Histogram("s2s_batch_parts", "Parts of texts in a batch.", buckets=SIZES, registry=registry)
        self._tokens = Histogram("s2s_batch_tokens", "Source tokens of a batch.", buckets=TOKENS, registry=registry)
        self._lost = Counter("s2s_workers_lost", "Workers that ended unexpectedly.", registry=registry)
        self._open = Gauge("s2s_requests_open", "Requests that are not answered yet.", registry=registry)

    def watch_queue(
        self, parts: Callable[[], float], tokens: Callable[[], float], workers: Callable[[], float]
    ) -> None:
        """Show the queue as it is when somebody looks."""
        for name, text, value in (
            ("s2s_queue_parts", "Parts of texts that wait.", parts),
            ("s2s_queue_tokens", "Source tokens of the parts that wait.", tokens),
            ("s2s_workers", "Workers that are there.", workers),
        ):
            Gauge(name, text, registry=self._registry).set_function(value)

    def begun(self) -> None:
        """A request has come."""
        self._open.inc()

    def request(self, route: str, status: int, seconds: float, characters: int) -> None:
        """It has been answered, or its client has gone."""
        self._open.dec()
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if characters and status < 400:
            self._characters.inc(characters)

    def batch(self, parts: int, tokens: int) -> None:
        """A batch was handed to a worker."""
        self._sizes.observe(parts)
        self._tokens.observe(tokens)

    def lost(self) -> None:
        """A worker has died."""
        self._lost.inc()

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


def log_line(form: str, facts: dict[str, Any]) -> None:
    """One line for a request. Texts and keys are never in it."""
    if form == "none":
        return
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    if form == "json":
        console.say(json.dumps({"time": now, **facts}, ensure_ascii=True))
    else:
        rest = " ".join(f"{name}={value}" for name, value in facts.items() if name not in ("method", "path", "status"))
        console.say(f"{now} {facts['method']} {facts['path']} {facts['status']} {rest}")
