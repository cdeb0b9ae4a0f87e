"""`s2s evaluate`: score a model on a test set, or hypotheses against references."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli import console
from s2s_cli.cli import options as shared
from s2s_cli.cli.command import takes_groups
from s2s_cli.cli.effects import refuse_idle
from s2s_cli.cli.glossary import GlossaryMatch, term_option
from s2s_cli.errors import UsageError

if TYPE_CHECKING:
    from s2s_cli.evaluation.report import TestResult
    from s2s_cli.evaluation.significance import Comparison
    from s2s_cli.inference.translator import Translator
    from s2s_cli.search.options import SearchOptions
    from s2s_cli.text.glossary import Glossary

_without_model = partial(typer.Option, rich_help_panel="Without a model")


@dataclass(frozen=True)
class FileArguments:
    """Files to score, without a model."""

    references: Annotated[
        list[Path] | None,
        _without_model(
            "--reference",
            metavar="FILE",
            help="References, one a line, also .gz, .xz or .zst; may be repeated, for several of each sentence.",
        ),
    ] = None
    hypothesis: Annotated[
        Path | None, _without_model(metavar="FILE", help="Translations to score; by default stdin.")
    ] = None
    baseline: Annotated[
        Path | None,
        _without_model(
            metavar="FILE",
            help="Translations of another system: also tell the difference to them, and how probable it is by chance"
            " (paired bootstrap: Koehn 2004).",
        ),
    ] = None
    source: Annotated[
        Path | None, _without_model(metavar="FILE", help="The sources of the translations, which --glossary needs.")
    ] = None
    language: Annotated[
        str,
        _without_model(
            metavar="CODE", help="Language of the texts, by which BLEU, ROUGE and --distinct find words (zh, ja, ...)."
        ),
    ] = "en"

    def score(self, metrics: list[str], terms: Glossary | None) -> TestResult:
        """The scores of the translations by each metric, and their comparison with the baseline."""
        from s2s_cli.evaluation.metrics import read_lines, read_stdin, score
        from s2s_cli.evaluation.report import TestResult

        lines = read_lines(self.hypothesis) if self.hypothesis else read_stdin()
        references = [read_lines(path) for path in self.references or ()]
        _warn_of_tokenizer(metrics, self.language)
        scores = score(lines, references, metrics, self.language)
        if terms and self.source:
            from s2s_cli.evaluation.terminology import terminology

            scores += terminology(terms, read_lines(self.source), lines)
        comparisons: list[Comparison] = []
        if self.baseline:
            from s2s_cli.evaluation.significance import paired_bootstrap

            before = read_lines(self.baseline)
            comparisons = paired_bootstrap(before, lines, references, metrics=metrics, language=self.language)
        return TestResult(str(self.hypothesis or "stdin"), len(lines), scores, comparisons)


@takes_groups
def evaluate(
    context: typer.Context,
    *,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            metavar="DIR",
            help="A run, or the model in it; repeated, an ensemble. By default $S2S_MODEL, else the newest of ./runs.",
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            metavar="NAME",
            help="A test set of the recipe, or `dev`; may be repeated; by default all test sets.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    metrics: shared.MetricArguments,
    glossary: Annotated[
        Path | None,
        term_option(
            metavar="FILE",
            help="Also score the use of terms, by this file (SOURCE TAB TARGET in each line): term success and"
            " consistency.",
        ),
    ] = None,
    glossary_match: GlossaryMatch = None,
    files: FileArguments,
    search: shared.SearchArguments,
    machine: shared.MachineArguments,
) -> None:
    """Score a model, or given translations.

    BLEU, chrF and TER are those of the `sacrebleu` command, with its signatures, ROUGE is that of the package
    rouge-score; the others are this program's own.

    \b
    s2s evaluate
    s2s evaluate --model runs/quickstart --test test --bleu --beam 10
    s2s evaluate --perplexity --distinct --sample --top-p 0.9 --seed 1
    s2s evaluate --hypothesis output.txt --reference a.txt --reference b.txt --ter
    s2s evaluate --hypothesis new.txt --baseline old.txt --reference a.txt --bleu
    s2s evaluate --hypothesis output.txt --reference a.txt --source input.txt --glossary terms.tsv
    s2s translate < input.txt | s2s evaluate --reference reference.txt --json | jq '.[0].value'
    """
    from s2s_cli.text.glossary import read_glossary

    if files.references and glossary and not files.source:
        raise UsageError("terms are looked for in the sources", where="--glossary", hint="add --source FILE")
    terms = read_glossary(glossary, glossary_match) if glossary else None
    if files.references:
        results = [files.score(metrics.names(), terms)]
    else:
        if metrics.perplexity and machine.shortlist:
            raise UsageError(
                "a shortlist makes the perplexity of words beyond it infinite",
                where="--shortlist",
                hint="leave it out, or --perplexity",
            )
        directories = shared.chosen_models(model)
        translator = machine.load_translator(directories)
        options = search.applied_to(translator.options)
        refuse_idle(context, device=translator.device, **vars(options))
        with translator:
            results = _score_model(translator, options, directories[0].parent, test, metrics.names(), terms)
    from s2s_cli.evaluation.report import as_json as to_json
    from s2s_cli.evaluation.report import as_text

    print((to_json if as_json else as_text)(results))


def _score_model(
    translator: Translator,
    search: SearchOptions,
    run: Path,
    tests: list[str] | None,
    metrics: list[str],
    terms: Glossary | None,
) -> list[TestResult]:
    """Translate and score the prepared test sets of the run."""
    from s2s_cli.checkpoint.run_directory import RunDirectory
    from s2s_cli.data.prepared import open_prepared
    from s2s_cli.evaluation.model import evaluate_model
    from s2s_cli.evaluation.report import TestResult
    from s2s_cli.evaluation.terminology import require_terms

    directory = RunDirectory(run)
    if not directory.recipe.is_file():
        raise UsageError(
            "this model lies outside its run, so its test sets are unknown",
            where=run,
            hint="score files: s2s translate < source | s2s evaluate --reference FILE",
        )
    language = shared.load(directory.recipe, None).languages.target
    prepared = open_prepared(run)
    _warn_of_tokenizer(metrics, language)
    if "bleu" not in metrics:  # of which it was just told
        shared.warn_of_segmenter(search, language)
    texts = {}
    for name in _known(tests, list(prepared.test_names), run):
        texts[name] = prepared.test_texts(name) if name in prepared.test_names else prepared.dev_texts()
        if terms:  # or else the scores of the first sets would be lost
            require_terms(terms, texts[name][0], f"test set `{name}`")
    results = []
    for name, (sources, references) in texts.items():
        scores = evaluate_model(translator, sources, [references], metrics, language, search, terms)
        results.append(TestResult(name, len(sources), scores))
    return results


def _known(tests: list[str] | None, names: list[str], run: Path) -> list[str]:
    """The test sets that were asked for, if they exist; `dev` always does."""
    if not tests and not names:
        raise UsageError("the recipe of this run has no test set", where=run, hint="add one, or choose --test dev")
    choice = [*names, *{"dev"}.difference(names)]
    for name in tests or ():
        if name not in choice:
            raise UsageError(f"there is no test set `{name}`", where="--test", hint=f"choose from {', '.join(choice)}")
    return tests or names


def _warn_of_tokenizer(metrics: list[str], language: str) -> None:
    from s2s_cli.text.segmenters import tokenizer_notice

    for metric, name in (("bleu", "BLEU"), ("distinct-1", "--distinct")):
        if metric in metrics and (notice := tokenizer_notice(language, name)):
            console.warn(notice)
