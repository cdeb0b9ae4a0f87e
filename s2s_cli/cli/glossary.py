"""What --glossary and --glossary-match say, to whatever command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.errors import UsageError

if TYPE_CHECKING:
    from s2s_cli.text.glossary import Glossary

PANEL = "Terms"

GlossaryMatch = Annotated[
    str | None,
    typer.Option(
        "--glossary-match",
        metavar="any-case,inflected",
        rich_help_panel=PANEL,
        show_default=False,
        help="Terms are also found in other capitals; with up to three letters more at the end of a word.",
    ),
]


def read_glossary(path: Path, match: str | None) -> Glossary:
    """Raises UsageError for a match that there is not; others as `Glossary.read`."""
    from s2s_cli.text.glossary import MATCHES, Glossary

    names = match.split(",") if match else []
    if unknown := [name for name in names if name not in MATCHES]:
        hint = f"some of {', '.join(MATCHES)}"
        raise UsageError(f"`{unknown[0]}` is no way to match a term", where="--glossary-match", hint=hint)
    return Glossary.read(path, names)
