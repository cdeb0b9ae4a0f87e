"""`s2s serve`: translation over HTTP."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from s2s_cli import console
from s2s_cli.cli import options as shared
from s2s_cli.cli.command import takes_groups
from s2s_cli.cli.glossary import GlossaryMatch, GlossaryWay, term_option
from s2s_cli.cli.protection import ProtectionArguments
from s2s_cli.cores import MOST_THREADS
from s2s_cli.errors import MachineError, UsageError
from s2s_cli.serving.limits import Limits

NEEDED = ("starlette", "uvicorn", "prometheus_client", "multipart", "python_multipart", "httptools", "h11", "py3langid")
_limit = partial(typer.Option, rich_help_panel="Limits")


@dataclass(frozen=True)
class LimitArguments(Limits):
    """The limits by options, with the same values by default."""

    body_bytes: Annotated[int, _limit(min=1, metavar="N", help="Bytes of a request's body.")]
    texts: Annotated[int, _limit(min=1, metavar="N", help="Texts of a request.")]
    characters: Annotated[int, _limit(min=1, metavar="N", help="Characters of a request.")]
    alternatives: Annotated[int, _limit(min=1, metavar="N", help="Alternatives that a request may ask for.")]
    waiting: Annotated[
        int,
        _limit(
            min=1,
            metavar="N",
            help="Sentences that may wait; what comes then is answered by 503 and when to try again.",
        ),
    ]
    read_seconds: Annotated[float, _limit(metavar="X", help="Time for a request to come.")]
    answer_seconds: Annotated[float, _limit(metavar="X", help="Time until it must be answered.")]
    stop_seconds: Annotated[float, _limit(metavar="X", help="Time after SIGTERM to answer what came before it.")]


_of_pair = " before it the pair of languages, de-en=FILE, where several models are served; may be repeated."


@dataclass(frozen=True)
class AidArguments:
    """What was agreed on, or translated before."""

    glossary: Annotated[
        list[str] | None,
        term_option(
            metavar="FILE", help=f"Translate terms by this file: SOURCE TAB TARGET in each line. Write{_of_pair}"
        ),
    ] = None
    glossary_match: GlossaryMatch = None
    glossary_way: GlossaryWay = None
    memory: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel="Translation memory",
            help="A translation memory, .tmx or .tsv (source, translation), also .gz, .xz or .zst. Lines that are in it"
            f" are not translated again. Write{_of_pair}",
        ),
    ] = None


@takes_groups
def serve(
    context: typer.Context,
    *,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            metavar="DIR",
            help="A model, or the run that made it; repeated, one for each pair of languages. By default $S2S_MODEL,"
            " else the newest model below ./runs.",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Address to listen at; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="Port; 0 takes a free one.")] = 5000,
    api_keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Translate only for requests with a key of this file: KEY [REQUESTS-PER-MINUTE [CHARACTERS]] in each"
            " line.",
        ),
    ] = None,
    log: Annotated[
        str, typer.Option(metavar="text|json|none", help="One line on stderr for each request; texts are never in it.")
    ] = "text",
    beam: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Hypotheses kept, by default as the recipes say.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST_THREADS, metavar="N", help="Processes that translate, by default one for each core."
        ),
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="Largest number of source pieces in a batch.")
    ] = 1500,
    engine: Annotated[
        str, typer.Option(metavar="auto|reference|fast|int8", help="What decodes, as of `s2s translate`.")
    ] = "auto",
    protection: ProtectionArguments,
    aids: AidArguments,
    limits: LimitArguments,
) -> None:
    """Serve models over HTTP: the APIs of LibreTranslate and of DeepL, and a page to translate with.

    \b
    s2s serve --model runs/de-en --model runs/en-de
    s2s serve --model runs/de-en --glossary terms.tsv --memory project.tmx --protect tags,placeholders
    curl -d q='Guten Tag!' -d source=de -d target=en http://127.0.0.1:5000/translate
    DEEPL_SERVER_URL=http://127.0.0.1:5000 DEEPL_AUTH_KEY=any python3 -m deepl text --to EN-US 'Guten Tag!'
    """
    if log not in ("text", "json", "none"):
        raise UsageError(f"unknown form `{log}`", where="--log", hint="text, json or none")
    models = shared.chosen_models(model)
    try:
        from s2s_cli.documents.snippets import snippet
        from s2s_cli.serving.aids import ServedAids
        from s2s_cli.serving.server import Settings
        from s2s_cli.serving.server import serve as run

        if api_keys is None and not _is_loopback(host):
            console.warn(
                f"--host {host}: whoever reaches this address can use the server; --api-keys FILE asks for keys"
            )
        served = ServedAids(
            protection.protect,
            tuple(protection.protect_pattern or ()),
            tuple(aids.glossary or ()),
            aids.glossary_match,
            aids.glossary_way,
            tuple(aids.memory or ()),
        )
        settings = Settings(host, port, workers, batch_tokens, log, api_keys, beam, engine, served)
        run(models, settings, limits, snippet)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in NEEDED:
            raise
        hint = "pip install 's2s-cli[serve]'"
        raise MachineError(f"`s2s serve` needs {error.name}, which is not installed", hint=hint) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
