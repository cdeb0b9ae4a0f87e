"""What --glossary and the options beside it say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.errors import UsageError

if TYPE_CHECKING:
    from s2s_cli.inference.translator import Translator
    from s2s_cli.search.options import SearchOptions
    from s2s_cli.text.glossary import Glossary

term_option = partial(typer.Option, rich_help_panel="Terms")
GlossaryMatch = Annotated[
    str | None,
    term_option(
        metavar="any-case,inflected",
        help="Terms are also found in other capitals; with up to three letters more at the end of a word.",
    ),
]
WAYS = ("inline", "forced")


def read_glossary(path: Path, match: str | None) -> Glossary:
    """Raises UsageError for a match that there is not; others as `Glossary.read`."""
    from s2s_cli.text.glossary import MATCHES, Glossary

    names = match.split(",") if match else []
    if unknown := [name for name in names if name not in MATCHES]:
        hint = f"some of {', '.join(MATCHES)}"
        raise UsageError(f"`{unknown[0]}` is no way to match a term", where="--glossary-match", hint=hint)
    return Glossary.read(path, names)


@dataclass(frozen=True)
class GlossaryArguments:
    """By which agreed translations of terms."""

    glossary: Annotated[
        Path | None, term_option(metavar="FILE", help="Translate terms by this file: SOURCE TAB TARGET in each line.")
    ] = None
    glossary_match: GlossaryMatch = None
    glossary_way: Annotated[
        str | None,
        term_option(
            metavar="inline|forced",
            help="inline: tell the terms to a model that was trained with `data.terms`, its default. forced: let the"
            " search write their translations, with any model.",
        ),
    ] = None

    def use(self, translator: Translator, options: SearchOptions) -> None:
        """Have the translator write the terms of --glossary, if there is one: inline, if the model has learnt that and
        no way was named. Raises UsageError for a way that is none for this model or this search."""
        if self.glossary is None:
            return
        learnt = translator.tokenizers.source.term_tags is not None
        way = self.glossary_way or ("inline" if learnt else "forced")
        if way not in WAYS:
            raise UsageError(
                f"`{way}` is no way to use a glossary", where="--glossary-way", hint=f"{' or '.join(WAYS)}"
            )
        if way == "inline" and not learnt:
            hint = "--glossary-way forced needs no training; or train a model with `data.terms`"
            raise UsageError("the model has not been trained with terms", where="--glossary-way", hint=hint)
        if way == "forced":
            from s2s_cli.inference.demands import refuse_constraints

            refuse_constraints(options)
            translator.force_terms(read_glossary(self.glossary, self.glossary_match))
            return
        from s2s_cli.inference.protection import Protection
        from s2s_cli.text.protected import Finder

        given = translator.protection
        translator.protection = Protection(
            given.finder if given else Finder((), ()), read_glossary(self.glossary, self.glossary_match)
        )
