"""What the interfaces have in common: who asks, for how much, and the translation within a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from s2s_cli.serving.aids import Pair
from s2s_cli.serving.batching import Full
from s2s_cli.serving.languages import Detector, Guess
from s2s_cli.serving.limits import Account, Keys, Limits, Refused
from s2s_cli.serving.models import Models
from s2s_cli.serving.texts import Texts, Wish

Result = TypeVar("Result")


class Service:
    """Translation for requests."""

    def __init__(self, models: Models, texts: Texts, limits: Limits, keys: Keys) -> None:
        self.models, self.limits, self.keys = models, limits, keys
        self.detector = Detector(models.sources)
        self._texts = texts

    @contextmanager
    def charged(self, request: Request, account: Account, texts: Sequence[str]) -> Iterator[None]:
        """Count the characters of the request. Raises Refused if they are too many.

        What is refused costs nothing: a client that is told to try again would pay each time. A client that goes has
        had its texts translated.
        """
        characters = self.limits.check_texts(texts)
        if account.characters + characters > account.most_characters:
            raise Refused(429, "Slowdown: the characters of this API key are used up")
        account.characters += characters  # at once: others may ask with the same key meanwhile
        request.state.characters = characters
        try:
            yield
        except ClientDisconnect:
            raise
        except Exception:
            account.characters -= characters
            raise

    async def guesses(self, texts: Sequence[str], source: str, target: str) -> list[Guess]:
        """The language of each text, if `source` is `auto`: the most probable one that is translated into `target`."""
        if source.lower() != "auto":
            return []
        wanted = self.models.spelled(target, self.models.languages)
        found = []
        for text in texts:
            ranked = await self.detector.guesses(text)
            possible = [guess for guess in ranked if wanted in self.models.targets_of(guess.language)]
            found.append((possible or ranked)[0])
        return found

    async def translate(self, request: Request, texts: Sequence[str], wishes: Sequence[Wish]) -> list[list[str]]:
        """For each text its translations by the wish beside it, as `Texts.translate`, within the time that there is.
        Raises Refused and ClientDisconnect."""
        request.state.pair = ",".join(dict.fromkeys("-".join(wish.pair) for wish in wishes))
        return await self._within(request, self._translated(texts, wishes))

    async def _translated(self, texts: Sequence[str], wishes: Sequence[Wish]) -> list[list[str]]:
        found: list[list[str]] = [[] for _ in texts]
        for wish in dict.fromkeys(wishes):
            chosen = [index for index, each in enumerate(wishes) if each == wish]
            results = await self._texts.translate([texts[index] for index in chosen], wish)
            for index, result in zip(chosen, results, strict=True):
                found[index] = result
        return found

    async def explain(self, request: Request, text: str, pair: Pair, most_parts: int) -> list[dict[str, Any]]:
        """As `Texts.explain`, in the same way."""
        request.state.pair = "-".join(pair)
        return await self._within(request, self._texts.explain(text, pair, most_parts))

    async def _within(self, request: Request, work: Awaitable[Result]) -> Result:
        """The result, unless the time is over or the client goes: what waits is then forgotten."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait(
                {working, leaving}, timeout=self.limits.answer_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if working.done():
                return working.result()
            if leaving.done():
                raise ClientDisconnect
            raise Refused(503, "This takes too long at present", retry_after=5)
        except Full as full:
            raise Refused(503, "Too many requests are waiting", retry_after=full.seconds) from None
        finally:
            working.cancel()
            leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
