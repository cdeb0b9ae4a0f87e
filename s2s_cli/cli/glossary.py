"""What --glossary and the options beside it say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

term_option = partial(typer.Option, rich_help_panel="Terms")
GlossaryMatch = Annotated[
    str | None,
    term_option(
        metavar="any-case,inflected",
        help="Terms are also found in other capitals; with up to three letters more at the end of a word.",
    ),
]


GlossaryWay = Annotated[
    str | None,
    term_option(
        metavar="inline|forced|both",
        help="inline: tell the terms to a model that was trained with `data.terms`. forced: let the search write their"
        " translations, with any model. both: tell them, and force those that the model leaves out; the default of such"
        " a model.",
    ),
]


@dataclass(frozen=True)
class GlossaryArguments:
    """By which agreed translations of terms."""

    glossary: Annotated[
        Path | None, term_option(metavar="FILE", help="Translate terms by this file: SOURCE TAB TARGET in each line.")
    ] = None
    glossary_match: GlossaryMatch = None
    glossary_way: GlossaryWay = None
