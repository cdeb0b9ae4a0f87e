"""Options that several commands share, and how they are understood."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from s2s_cli.inference.translator import Translator
    from s2s_cli.recipe import Recipe
    from s2s_cli.search.options import SearchOptions

RUNS = Path("runs")

_METRICS, _MACHINE = "Metrics (by default BLEU and chrF)", "Machine"
_SEARCH = "Search (by default as the model's recipe says)"

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        show_default=False,
        help="Override a key, such as training.learning_rate=3e-4 or data.test.0.name=news; may be repeated.",
    ),
]
RunPath = Annotated[
    Path | None,
    typer.Option(metavar="DIR", show_default=False, help="Directory of the run, by default runs/NAME of the recipe."),
]
BatchTokens = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        rich_help_panel=_MACHINE,
        help="Largest number of source pieces in a batch; fewer need less memory.",
    ),
]


@dataclass(frozen=True)
class SearchArguments:
    """How to search; None stands for what the model's recipe says."""

    beam: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=_SEARCH, help="Number of hypotheses kept at each step.")
    ] = None
    greedy: Annotated[
        bool,
        typer.Option(
            "--greedy", rich_help_panel=_SEARCH, help="Take the most probable piece at each step: a beam of 1."
        ),
    ] = False
    normalization: Annotated[
        str | None,
        typer.Option(
            metavar="wu|average|none",
            rich_help_panel=_SEARCH,
            help="How hypotheses of different lengths are compared: by the penalty of Wu et al. 2016, the mean per"
            " piece, or the sum.",
        ),
    ] = None
    length_penalty: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            rich_help_panel=_SEARCH,
            help="Exponent of the penalty; a larger one favours longer translations.",
        ),
    ] = None
    min_length: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=_SEARCH, help="Smallest number of pieces in a translation."),
    ] = None
    max_length_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="X", rich_help_panel=_SEARCH, help="Largest number of pieces in a translation per source piece ..."
        ),
    ] = None
    max_length_offset: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=_SEARCH, help="... plus this number.")
    ] = None

    def applied_to(self, options: SearchOptions, n_best: int = 1) -> SearchOptions:
        """`options` with what was given here. An n-best list longer than the model's own beam widens it."""
        given = {name: value for name, value in vars(self).items() if name != "greedy" and value is not None}
        beam = 1 if self.greedy else max(options.beam, n_best)
        return replace(options, **{"beam": beam, "n_best": n_best} | given)


@dataclass(frozen=True)
class MachineArguments:
    """What computes, with the names and values of `Translator.load`."""

    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda", rich_help_panel=_MACHINE, help="Where to compute.")
    ] = "auto"
    threads: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", rich_help_panel=_MACHINE, help="Processor threads, by default one per core."),
    ] = None
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            rich_help_panel=_MACHINE,
            show_default=False,
            help="Worker processes for long input, with one thread each; by default one per core. Short input is"
            " translated by one process with all threads.",
        ),
    ] = None
    precision: Annotated[
        str,
        typer.Option(
            metavar="auto|fp32|bf16",
            rich_help_panel=_MACHINE,
            help="Number type of the matrix products; `auto` is bf16 where the processor computes it natively.",
        ),
    ] = "auto"
    engine: Annotated[
        str,
        typer.Option(
            metavar="auto|reference|fast|int8",
            rich_help_panel=_MACHINE,
            help="What decodes: PyTorch operations, fused operations in C, or these in 8 bits. `auto` is int8 if that"
            " cost the model at most 0.1 BLEU on its dev set, else fast, or reference where neither is available.",
        ),
    ] = "auto"
    shortlist: Annotated[
        bool,
        typer.Option(
            "--shortlist",
            rich_help_panel=_MACHINE,
            help="Write only pieces that occurred with those of the source in training: faster, rarely another word.",
        ),
    ] = False

    def load_translator(self, models: Sequence[Path]) -> Translator:
        """The model, or the ensemble; with as many workers as threads, or cores, unless a number was given."""
        from s2s_cli.inference.translator import Translator
        from s2s_cli.processes import usable_cores

        workers = self.workers or self.threads or usable_cores()
        return Translator.load(models, **vars(replace(self, workers=workers)))


@dataclass(frozen=True)
class MetricArguments:
    """What to score by."""

    bleu: Annotated[bool, typer.Option("--bleu", rich_help_panel=_METRICS, help="BLEU (Papineni et al. 2002).")] = False
    chrf: Annotated[bool, typer.Option("--chrf", rich_help_panel=_METRICS, help="chrF (Popović 2015).")] = False
    chrf_words: Annotated[
        bool, typer.Option("--chrf++", rich_help_panel=_METRICS, help="chrF++, with words (Popović 2017).")
    ] = False
    ter: Annotated[
        bool, typer.Option("--ter", rich_help_panel=_METRICS, help="TER (Snover et al. 2006); less is better.")
    ] = False
    accuracy: Annotated[
        bool,
        typer.Option("--accuracy", rich_help_panel=_METRICS, help="Share of the lines that equal their reference."),
    ] = False
    character_accuracy: Annotated[
        bool,
        typer.Option(
            "--character-accuracy",
            rich_help_panel=_METRICS,
            help="Share of the reference's characters that stand at the same position.",
        ),
    ] = False

    rouge: Annotated[
        bool,
        typer.Option(
            "--rouge",
            rich_help_panel=_METRICS,
            help="ROUGE-1, -2 and -L, for summaries (Lin 2004); needs s2s-cli[rouge].",
        ),
    ] = False

    def names(self) -> list[str]:
        """The metrics that were asked for, or else BLEU and chrF, by their names in `s2s_cli.evaluation.metrics`."""
        from s2s_cli.evaluation.metrics import ROUGE

        asked = [name.replace("_words", "++") for name, wanted in vars(self).items() if wanted and name != "rouge"]
        return [*asked, *(ROUGE if self.rouge else ())] or ["bleu", "chrf"]


def load(recipe: Path, overrides: list[str] | None) -> Recipe:
    """The recipe with its overrides."""
    from s2s_cli.recipe import load_recipe

    return load_recipe(recipe, overrides or ())


def run_of(path: Path, recipe: Recipe, overrides: Sequence[str] | None, run: Path | None) -> Path:
    """The directory of the run of the recipe in `path`.

    It is the one that was named; or that which keeps the recipe, unless another name was given to it; or the one that
    the recipe's name stands for.
    """
    from s2s_cli.checkpoint.run_directory import RunDirectory

    if run is None and RunDirectory.keeps(path) and not any(text.startswith("name=") for text in overrides or ()):
        return path.parent
    return run or RUNS / recipe.name


def chosen_models(models: list[Path] | None) -> list[Path]:
    """The models that were named, or else the default: $S2S_MODEL, then the newest below ./runs."""
    from s2s_cli.inference.model_path import find_model

    named: Sequence[Path | None] = models or [None]
    return [find_model(model, os.environ, RUNS) for model in named]
