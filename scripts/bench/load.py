"""Load on a server, from a process of its own: clients that ask for one text after the other over kept connections.

    python -m scripts.bench.load PORT TEXTS SOURCE TARGET CLIENTS REQUESTS [FORM]

Writes one JSON object: seconds in all, the milliseconds of each request, what was answered for each text, and what
failed. FORM: what the server speaks, `libretranslate` or `opennmt`. A client whose connection ends counts that and goes
on with a new one; if there is none to be had, it ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

HOST = "127.0.0.1"


class Form(NamedTuple):
    """How a server is asked. question: JSON of a text and a pair of languages; answer: the translation in its JSON."""

    path: str
    question: Callable[[str, tuple[str, str]], Any]
    answer: Callable[[Any], str]


FORMS = {
    "libretranslate": Form(
        "/translate",
        lambda text, pair: {"q": text, "source": pair[0], "target": pair[1]},
        lambda answer: answer["translatedText"],
    ),
    "opennmt": Form(
        "/translator/translate", lambda text, _: [{"src": text, "id": 1}], lambda answer: answer[0][0]["tgt"]
    ),
}


class Load:
    """So many requests, shared by all clients."""

    def __init__(self, port: int, texts: list[str], pair: tuple[str, str], requests: int, form: Form) -> None:
        self._port, self._texts, self._pair, self._form = port, texts, pair, form
        self._numbers = iter(range(requests))
        self.milliseconds: list[float] = []
        self.answers: dict[str, str] = {}
        self.differing = self.refused = self.failed = 0

    async def client(self) -> None:
        """Ask until all is asked for, or the server is gone."""
        streams: Any = None
        for number in self._numbers:
            text = self._texts[number % len(self._texts)]
            begun = time.perf_counter()
            try:
                streams = streams or await asyncio.open_connection(HOST, self._port)
                status, body, stays = await self._ask(streams, text)
            except ConnectionRefusedError:  # the server has ended
                return
            except (OSError, EOFError):
                self.refused += 1
                streams = None
                continue
            streams = streams if stays else None
            self.milliseconds.append(1000 * (time.perf_counter() - begun))
            if status != 200:
                self.failed += 1
            else:
                translation = self._form.answer(json.loads(body))
                self.differing += self.answers.setdefault(text, translation) != translation

    async def _ask(self, streams: Any, text: str) -> tuple[int, bytes, bool]:
        reader, writer = streams
        body = json.dumps(self._form.question(text, self._pair)).encode()
        head = f"POST {self._form.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answered = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(answered.partition("content-length: ")[2].partition("\r\n")[0])
        stays = "connection: close" not in answered
        return int(answered.split(" ", 2)[1]), await reader.readexactly(length), stays


async def run(load: Load, clients: int) -> float:
    """Seconds that all clients took."""
    begun = time.perf_counter()
    await asyncio.gather(*(load.client() for _ in range(clients)))
    return time.perf_counter() - begun


def main() -> None:
    port, path, source, target, clients, requests, *form = sys.argv[1:]
    texts = Path(path).read_text(encoding="utf-8").splitlines()
    load = Load(int(port), texts, (source, target), int(requests), FORMS["".join(form) or "libretranslate"])
    seconds = asyncio.run(run(load, int(clients)))
    shown = {name: value for name, value in vars(load).items() if not name.startswith("_")}
    print(json.dumps({"seconds": seconds, **shown}))


if __name__ == "__main__":
    main()
