"""metrics.jsonl: one JSON object a line for everything that training measures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

from s2s_cli import atomic

Kind = Literal["train", "validation", "test"]
ORDER: dict[Kind, int] = {"train": 0, "validation": 1, "test": 2}
"""In which order lines of the same update are written."""


class MetricsLog:
    """Append-only, except that whoever goes on from a checkpoint first forgets what was written after it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def forget_after(self, update: int, kind: Kind) -> None:
        """Drop all lines that come after those of this kind and update, and a last line that was cut short."""
        if not self.path.exists():
            return
        old = self.path.read_bytes()
        kept = (line for line in old.split(b"\n") if _place(line) <= (update, ORDER[kind]))
        new = b"".join(line + b"\n" for line in kept)
        if new != old:
            atomic.replace_file(self.path, new)

    def write(self, kind: Kind, update: int, **figures: Any) -> None:
        """Append one line. Figures that are not finite become null: JSON has no word for them."""
        finite = {key: None if _is_broken(value) else value for key, value in figures.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, "update": update, **finite}, ensure_ascii=False) + "\n")


def _is_broken(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _place(line: bytes) -> tuple[float, int]:
    """Where a line stands in the log; what is not a line of this log stands behind all others."""
    try:
        content = json.loads(line)
        return int(content["update"]), ORDER[content["kind"]]
    except (ValueError, KeyError, TypeError):
        return math.inf, 0
