"""Texts that are translated without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from s2s_cli.documents.snippets import snippet
from s2s_cli.serving.models import Kind, Models
from s2s_cli.serving.queue import Sized
from s2s_cli.serving.texts import Texts


class Direct:
    """In the place of the queue and its workers."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def admit(self) -> None: ...

    async def answers(self, kind: Kind, parts: Sequence[Sized]) -> list[Any]:
        return [answer for part in parts for answer in self.models._work((kind, [part.content]))]


def texts_of(models: Models, prepare: Any = snippet) -> Texts:
    return Texts(models, Direct(models), prepare)  # type: ignore[arg-type]
