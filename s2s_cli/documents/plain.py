"""Plain text: each line is translated; white space around lines and between columns stays, and so do blank lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from s2s_cli.documents.document import DIVIDING, Edit, TextDocument, Unit
from s2s_cli.text.codes import Code, Kind, Parts
from s2s_cli.text.protected import with_codes, with_placeholders

_LINE = re.compile(r"[^\r\n\ufeff]+")


class PlainText(TextDocument):
    """Text without any markup."""

    def find_units(self) -> Iterator[Unit]:
        for match in _LINE.finditer(self.text):
            line = match.group()
            if text := line.strip():
                start = match.start() + len(line) - len(line.lstrip())
                parts = (each for part in with_placeholders(text) for each in with_codes(part, DIVIDING, Kind.BREAK))
                yield Unit(tuple(parts), start, start + len(text))

    def edits(self, unit: Unit, parts: Parts, raw: Callable[[Code], str]) -> Iterable[Edit]:
        return [Edit(unit.start, unit.end, "".join(part if isinstance(part, str) else raw(part) for part in parts))]
