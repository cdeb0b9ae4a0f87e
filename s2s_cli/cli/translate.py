"""`s2s translate`: lines in, translations out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from s2s_cli.cli import options as shared
from s2s_cli.cli.command import takes_groups
from s2s_cli.cli.effects import refuse_idle

_OUTPUT = "Output"


@takes_groups
def translate(
    context: typer.Context,
    *,
    inputs: Annotated[
        list[typer.FileBinaryRead] | None,
        typer.Argument(metavar="INPUT", help="Files to translate; stdin if there are none.", show_default=False),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            metavar="DIR",
            show_default=False,
            help="A model, or the run that made it; repeated, an ensemble. By default $S2S_MODEL, else the newest"
            " model below ./runs.",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            rich_help_panel=_OUTPUT,
            help="Write one JSON object per line: translation, score, pieces, alignment.",
        ),
    ] = False,
    n_best: Annotated[
        int,
        typer.Option(
            metavar="N", rich_help_panel=_OUTPUT, help="Write the N best, or N draws: LINE ||| TRANSLATION ||| SCORE."
        ),
    ] = 1,
    alignments: Annotated[
        bool,
        typer.Option(
            "--alignments", rich_help_panel=_OUTPUT, help="Append the word alignment: ||| 0-0 1-2 (source-target)."
        ),
    ] = False,
    attention: Annotated[
        Path | None,
        typer.Option(
            "--attention",
            metavar="FILE",
            rich_help_panel=_OUTPUT,
            help="Draw the attention weights: all sentences into one .html file, or each into a .png file of its own"
            " (FILE-LINE.png from the second on).",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", rich_help_panel=_OUTPUT, help="Stop at a line that is not valid UTF-8.")
    ] = False,
    search: shared.SearchArguments,
    batch_tokens: shared.BatchTokens = None,
    machine: shared.MachineArguments,
) -> None:
    """Translate text: one line out for each line in, in order.

    A line that comes through an open pipe is translated at once, and memory does not grow with the input. On a terminal
    there is a prompt, which remembers what was typed.

    \b
    echo "Bonjour !" | s2s translate
    s2s translate --model runs/quickstart < input.txt > output.txt
    s2s translate --model runs/a --model runs/b --beam 8 input.txt
    s2s translate --sample --top-p 0.9 --n-best 5 < input.txt
    s2s translate --sample --mbr chrf < input.txt
    s2s translate --json input.txt | jq -r .score
    s2s translate --attention heat-maps.html < input.txt
    """
    models = shared.chosen_models(model)
    from s2s_cli.inference import prompt
    from s2s_cli.inference.attention_view.view import AttentionView
    from s2s_cli.inference.output import OutputOptions
    from s2s_cli.inference.stream import translate_stream, translate_windows

    view = AttentionView(attention) if attention else None
    translator = machine.load_translator(models)
    options = search.applied_to(translator.options, n_best)
    refuse_idle(context, device=translator.device, **vars(options))
    shared.warn_of_segmenter(options, translator.division.target)
    output = OutputOptions(
        format="json" if as_json else "text",
        n_best=n_best,
        alignments=alignments,
        strict=strict,
        batch_tokens=batch_tokens,
    )
    with translator, view or nullcontext():
        if not inputs and prompt.is_wanted():
            windows = prompt.typed_lines(f"{translator.division.source}> ")
            translate_windows(translator, windows, sys.stdout.buffer, options, output, view)
            return
        sources: Sequence[BinaryIO] = inputs or [sys.stdin.buffer]
        for source in sources:
            translate_stream(translator, source, sys.stdout.buffer, options, output, view)
