"""The figures of a torture, as JSON to be kept and as a Markdown table to be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Piece:
    """What one kind of torture found."""

    tried: int
    what: str
    """What was tried so often, in words."""
    figures: dict[str, int | float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """One sentence for each failure, with what is needed to see it again."""
    seed: int = 0
    seconds: float = 0.0


def keep(path: Path, pieces: Mapping[str, Piece]) -> dict[str, Piece]:
    """Put `pieces` into the file beside those that it has already; all of them."""
    kept = {}
    if path.exists():
        kept = {name: Piece(**values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}
    kept |= pieces
    text = json.dumps({name: asdict(piece) for name, piece in kept.items()}, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    return kept


def table(pieces: Mapping[str, Piece]) -> str:
    """Markdown: a row for each piece."""
    rows = ["| torture | tried | failures | found | seed | time |", "|---|---|---|---|---|---|"]
    for name, piece in pieces.items():
        found = ", ".join(f"{key} {value:,}" for key, value in piece.figures.items())
        tried = f"{piece.tried:,} {piece.what}"
        rows.append(f"| {name} | {tried} | {len(piece.failures):,} | {found} | {piece.seed} | {piece.seconds:,.0f} s |")
    return "\n".join(rows)
