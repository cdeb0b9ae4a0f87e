"""`s2s serve` as a process, over tiny models that translate into gibberish; and what a client needs."""

from __future__ import annotations

import http.client
import json
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

from starts import PATIENCE, Started

from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

LETTERS = CharacterTokenizer("▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?äöüß")
PAIR = TokenizerPair(LETTERS, LETTERS)


class Answer(NamedTuple):
    """A status, its headers in small letters, and the body, parsed if it is JSON."""

    status: int
    headers: dict[str, str]
    body: Any


class Server:
    """A running server. A context manager, which ends it."""

    def __init__(self, *options: object, models: list[Path], **settings: Any) -> None:
        words = [word for model in models for word in ("--model", model)]
        self.process = Started("serve", *words, "--port", "0", "--workers", "1", *options, **settings)
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"serving on http://127\.0\.0\.1:(\d+)/", self.process.said())):
            assert self.process.poll() is None, self.process.said()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.port = int(found[1])
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.__exit__(*error)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(self, path: str, fields: Any = None, *, method: str = "", **headers: str) -> Answer:
        """Ask once: GET, or POST of JSON, or of bytes as they are."""
        body = fields if isinstance(fields, bytes | None) else json.dumps(fields).encode()
        if isinstance(fields, dict | list):
            headers.setdefault("content_type", "application/json")
        connection = self.connect()
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method or ("GET" if body is None else "POST"), path, body, named)
            return answer_of(connection)
        finally:
            connection.close()


def answer_of(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    data = response.read()
    headers = {name.lower(): value for name, value in response.getheaders()}
    is_json = headers.get("content-type", "").startswith("application/json")
    return Answer(response.status, headers, json.loads(data) if is_json else data)
