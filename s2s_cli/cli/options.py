"""Options that several commands share, and how they are understood."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s_cli.errors import UsageError

if TYPE_CHECKING:
    from s2s_cli.recipe import Recipe
    from s2s_cli.search.options import SearchOptions

RUNS = Path("runs")

_MODEL, _SEARCH, _MACHINE = "Model", "Search (by default as the model's recipe says)", "Machine"

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
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", rich_help_panel=_MACHINE, help="Where to compute.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=_MACHINE, help="Processor threads, by default one per core."),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        rich_help_panel=_MACHINE,
        show_default=False,
        help="Processes for input of many lines, one thread each; by default one per core. Few lines have all threads.",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        metavar="auto|fp32|bf16",
        rich_help_panel=_MACHINE,
        help="Number type of the matrix products; `auto` is bf16 where the processor computes it natively.",
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="auto|reference|fast|int8",
        rich_help_panel=_MACHINE,
        help="What decodes: PyTorch operations, the same fused, or that in 8 bits. `auto` is int8 where the model lost"
        " nothing by it on its dev set, else fast.",
    ),
]
Shortlist = Annotated[
    bool,
    typer.Option(
        "--shortlist",
        rich_help_panel=_MACHINE,
        help="Write only pieces that went with those of the source in training: faster still, rarely another word.",
    ),
]

Beam = Annotated[
    int | None,
    typer.Option(metavar="N", rich_help_panel=_SEARCH, help="Hypotheses kept at each step."),
]
Greedy = Annotated[
    bool, typer.Option("--greedy", rich_help_panel=_SEARCH, help="Take the best piece at each step: a beam of 1.")
]
Normalization = Annotated[
    str | None,
    typer.Option(
        metavar="wu|average|none",
        rich_help_panel=_SEARCH,
        help="How hypotheses of unlike length compare: the penalty of Wu et al. 2016, the mean per piece, or the sum.",
    ),
]
LengthPenalty = Annotated[
    float | None,
    typer.Option(
        metavar="X", rich_help_panel=_SEARCH, help="Exponent of the penalty; more favours longer translations."
    ),
]
MinLength = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_SEARCH, help="Fewest pieces of a translation.")
]
MaxLengthRatio = Annotated[
    float | None,
    typer.Option(metavar="X", rich_help_panel=_SEARCH, help="Most pieces of a translation for each source piece ..."),
]
MaxLengthOffset = Annotated[int | None, typer.Option(metavar="N", rich_help_panel=_SEARCH, help="... plus so many.")]
BatchTokens = Annotated[
    int | None,
    typer.Option(metavar="N", rich_help_panel=_MACHINE, help="Most source pieces of a batch; less needs less memory."),
]


def load(recipe: Path, overrides: list[str] | None) -> Recipe:
    """The recipe with its overrides."""
    from s2s_cli.recipe import load_recipe

    return load_recipe(recipe, overrides or ())


def run_of(recipe: Recipe, run: Path | None) -> Path:
    """The run directory that was named, or the one that the recipe's name stands for."""
    return run or RUNS / recipe.name


def workers_of(workers: int | None, threads: int | None) -> int:
    """The number that was named, or one for each thread or core that may be used."""
    from s2s_cli.processes import usable_cores

    return workers or threads or usable_cores()


def chosen_models(models: list[Path] | None) -> list[Path]:
    """The models that were named, or else the one that is meant when none is."""
    from s2s_cli.inference.model_path import find_model

    named: Sequence[Path | None] = models or [None]
    return [find_model(model, os.environ, RUNS) for model in named]


def adapted(search: SearchOptions, *, greedy: bool, n_best: int = 1, **given: float | str | None) -> SearchOptions:
    """`search` with the values that were `given` (not None) on the command line.

    `--greedy` is a beam of 1; an n-best list longer than the model's own beam widens it.
    """
    if greedy and (given["beam"] is not None or n_best > 1):
        raise UsageError("--greedy has one hypothesis only", hint="leave it out to use --beam or --n-best")
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if greedy or "beam" not in changes:
        changes["beam"] = 1 if greedy else max(search.beam, n_best)
    return replace(search, n_best=n_best, **changes)
