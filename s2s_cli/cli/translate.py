"""`s2s translate`: lines in, translations out."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from s2s_cli.cli import files
from s2s_cli.cli import options as shared
from s2s_cli.cli.command import takes_groups
from s2s_cli.cli.effects import refuse_idle
from s2s_cli.cli.glossary import GlossaryArguments
from s2s_cli.cli.options import output_option
from s2s_cli.cli.protection import ProtectionArguments
from s2s_cli.errors import UsageError

if TYPE_CHECKING:
    from s2s_cli.inference.attention_view.view import AttentionView
    from s2s_cli.inference.output import OutputOptions
    from s2s_cli.inference.translator import Translator
    from s2s_cli.search.options import SearchOptions


@dataclass(frozen=True)
class OutputArguments:
    """What is written, and where to."""

    output: Annotated[
        Path | None,
        output_option(
            "--output",
            "-o",
            metavar="FILE|DIR",
            help="Write to this file, which appears or is replaced as a whole; or each input to a file in this folder,"
            " except for files of lines that are done. A .txt file that becomes a file is a document.",
        ),
    ] = None
    in_place: Annotated[bool, output_option("--in-place", help="Replace each document by its translation.")] = False
    form: Annotated[
        str | None,
        output_option(
            "--format",
            metavar="text|po|xliff|tmx|srt|vtt|html|markdown|docx",
            help="Format of the document, by default that of its suffix. Only its text is translated.",
        ),
    ] = None
    as_json: Annotated[
        bool, output_option("--json", help="Write one JSON object per line: translation, score, pieces, alignment.")
    ] = False
    n_best: Annotated[
        int,
        output_option(
            metavar="N",
            help="Write the N best, or N draws: LINE ||| TRANSLATION ||| SCORE. Fewer, where groups of --diverse find"
            " the same.",
        ),
    ] = 1
    alignments: Annotated[
        bool, output_option("--alignments", help="Append the word alignment: ||| 0-0 1-2 (source-target).")
    ] = False
    attention: Annotated[
        Path | None,
        output_option(
            "--attention",
            metavar="FILE",
            help="Draw the attention weights: all sentences into one .html file, or each into a .png file of its own"
            " (FILE-LINE.png from the second on, FILE-LINE.PART.png of lines of several sentences).",
        ),
    ] = None
    min_confidence: Annotated[
        float | None,
        output_option(
            min=0.0,
            max=1.0,
            metavar="X",
            help="Leave translations with a lower confidence empty; in JSON, `confident` is false. In documents such"
            " texts stay as they were, or are marked to be reviewed.",
        ),
    ] = None
    strict: Annotated[bool, output_option("--strict", help="Stop at a line that is not valid UTF-8.")] = False

    def options(self, requests: bool, batch_tokens: int | None) -> OutputOptions:
        """For the stream; requests: whether lines are JSON objects."""
        from s2s_cli.inference.output import OutputOptions

        return OutputOptions(
            format="json" if self.as_json else "text",
            n_best=self.n_best,
            alignments=self.alignments,
            strict=self.strict,
            requests=requests,
            batch_tokens=batch_tokens,
            min_confidence=self.min_confidence,
        )

    def view(self) -> AttentionView | None:
        """What draws the attention weights, if they were asked for."""
        if self.attention is None:
            return None
        from s2s_cli.inference.attention_view.view import AttentionView

        return AttentionView(self.attention)


@dataclass(frozen=True)
class MemoryArguments:
    """What was translated before."""

    memory: Annotated[
        list[Path] | None,
        typer.Option(
            "--memory",
            metavar="FILE",
            rich_help_panel="Translation memory",
            help="A translation memory, .tmx or .tsv (source, translation), also .gz, .xz or .zst; may be repeated."
            " Lines that are in it are not translated again.",
        ),
    ] = None
    fuzzy: Annotated[
        float,
        typer.Option(
            metavar="X",
            rich_help_panel="Translation memory",
            help="In JSON, show the most similar entry of the memory, from this similarity on; 1 for none.",
        ),
    ] = 0.75


@takes_groups
def translate(
    context: typer.Context,
    *,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="INPUT",
            exists=True,
            dir_okay=False,
            readable=True,
            allow_dash=True,
            help="Files of lines, or documents; by default stdin.",
        ),
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            metavar="DIR",
            help="A model, or the run that made it; repeated, an ensemble. By default $S2S_MODEL, else the newest"
            " model below ./runs.",
        ),
    ] = None,
    json_input: Annotated[
        bool,
        typer.Option(
            "--json-input",
            help='Read one JSON object per line: {"text": ..., "constraints": [...], "avoid": [...], "prefix": ...}.'
            " Phrases that a translation must contain, must not contain, and its beginning.",
        ),
    ] = False,
    output: OutputArguments,
    protection: ProtectionArguments,
    memory: MemoryArguments,
    terms: GlossaryArguments,
    search: shared.SearchArguments,
    batch_tokens: shared.BatchTokens = None,
    machine: shared.MachineArguments,
    bulk: shared.BulkArguments,
) -> None:
    """Translate lines, one line out for each line in, or a document.

    A line that comes through an open pipe is translated at once, and memory does not grow with the input. On a terminal
    there is a prompt, which remembers what was typed. Of a document, only the text changes.

    \b
    echo "Bonjour !" | s2s translate
    s2s translate --model runs/quickstart < input.txt > output.txt
    s2s translate --model runs/a --model runs/b --beam 8 input.txt
    s2s translate --sample --top-p 0.9 --n-best 5 < input.txt
    s2s translate --sample --mbr chrf < input.txt
    s2s translate --json input.txt | jq -r .score
    echo '{"text": "Bonjour !", "constraints": ["good day"]}' | s2s translate --json-input
    s2s translate manual.po -o manual.de.po
    s2s translate po/*.po -o translated/
    s2s translate --memory project.tmx --json < input.txt
    s2s translate --protect tags,placeholders,urls < strings.txt
    s2s translate --glossary terms.tsv --glossary-match any-case,inflected < input.txt
    s2s translate --attention heat-maps.html < input.txt
    s2s translate --shard 3/64 input.txt -o output.txt
    """
    jobs = files.jobs_of(context.params)
    form = output.options(json_input, batch_tokens)
    from s2s_cli.inference.aids import Aids

    aids = Aids(
        protect=protection.protect,
        protect_patterns=tuple(protection.protect_pattern or ()),
        glossary=terms.glossary,
        glossary_match=terms.glossary_match,
        glossary_way=terms.glossary_way,
        memories=tuple(memory.memory or ()),
        fuzzy=memory.fuzzy if memory.memory and output.as_json else None,
    )
    if files.is_bulk(context.params):
        from s2s_cli.cli.bulk import translate_bulk

        return translate_bulk(context, model, search, machine, bulk, form, aids)
    models = shared.chosen_models(model)
    from s2s_cli.inference import prompt
    from s2s_cli.inference.output import require_attention

    is_typed = not inputs and jobs[0].target is None and prompt.is_wanted()
    if jobs[0].form and is_typed:
        raise UsageError("a document is not typed at a prompt", where="--format", hint="name a file")
    view = output.view()
    translator = machine.load_translator(models)
    options = search.applied_to(translator.options, output.n_best)
    refuse_idle(context, device=translator.device, **vars(options))
    shared.warn_of_segmenter(options, translator.division.target)
    form.check(translator)
    if view:
        require_attention(translator, "--attention")
    translator.reader = aids.given_to(translator.reader, options)
    with translator, view or nullcontext():
        for job in jobs:
            with files.sink_of(job.target) as sink:
                if job.form:
                    _write_document(translator, job, sink, options, form)
                elif is_typed:
                    _write_typed(translator, sink, options, form, view)
                else:
                    _write_lines(translator, job.sources, sink, options, form, view)


def _write_document(
    translator: Translator, job: files.Job, sink: IO[bytes], search: SearchOptions, form: OutputOptions
) -> None:
    from s2s_cli.documents.translation import translate_file

    assert job.form and len(job.sources) == 1, "each document is a job of its own"
    least = form.min_confidence or 0.0
    with files.content_of(job.sources[0]) as document:
        translate_file(
            translator, job.form, document, sink, search, batch_tokens=form.batch_tokens, min_confidence=least
        )


def _write_typed(
    translator: Translator, sink: IO[bytes], search: SearchOptions, form: OutputOptions, view: AttentionView | None
) -> None:
    from s2s_cli.inference import prompt
    from s2s_cli.inference.stream import translate_windows

    with closing(prompt.typed_lines(f"{translator.division.source}> ")) as windows:  # with its history written
        translate_windows(translator, windows, sink, search, form, view)


def _write_lines(
    translator: Translator,
    sources: Sequence[Path],
    sink: IO[bytes],
    search: SearchOptions,
    form: OutputOptions,
    view: AttentionView | None,
) -> None:
    """Files one after the other; messages count the lines of each from 1."""
    from s2s_cli.inference.stream import translate_stream

    lines = 0
    for source in sources:
        with files.content_of(source) as file:
            lines += translate_stream(translator, file, sink, search, form, view, before=lines)
