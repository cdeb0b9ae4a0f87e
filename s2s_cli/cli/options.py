"""Options that several commands share, and how they are understood."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from s2s_cli import console
from s2s_cli.errors import UsageError

if TYPE_CHECKING:
    from s2s_cli.inference.translator import Translator
    from s2s_cli.recipe.schema import Recipe
    from s2s_cli.search.options import SamplingOptions, SearchOptions

RUNS = Path("runs")

output_option = partial(typer.Option, rich_help_panel="Output")
_search = partial(typer.Option, rich_help_panel="Search (by default as the model's recipe says)")
_other_search = partial(typer.Option, rich_help_panel="Other kinds of search")
_machine = partial(typer.Option, rich_help_panel="Machine")
_bulk = partial(typer.Option, rich_help_panel="Bulk")
_metric = partial(typer.Option, rich_help_panel="Metrics (by default BLEU and chrF)")

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key, such as training.learning_rate=3e-4 or data.test.0.name=news; may be repeated.",
    ),
]
RunPath = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Directory of the run, by default runs/NAME of the recipe.")
]
BatchTokens = Annotated[
    int | None, _machine(metavar="N", help="Largest number of source pieces in a batch; fewer need less memory.")
]


@dataclass(frozen=True)
class SearchArguments:
    """How to search; None stands for what the model's recipe says."""

    beam: Annotated[int | None, _search(metavar="N", help="Number of hypotheses kept at each step.")] = None
    greedy: Annotated[bool, _search("--greedy", help="Take the most probable piece at each step: a beam of 1.")] = False
    normalization: Annotated[
        str | None,
        _search(
            metavar="wu|average|none",
            help="How hypotheses of different lengths are compared: by the penalty of Wu et al. 2016, the mean per"
            " piece, or the sum.",
        ),
    ] = None
    length_penalty: Annotated[
        float | None,
        _search(metavar="X", help="Exponent of the penalty, from 0 to 5; a larger one favours longer translations."),
    ] = None
    min_length: Annotated[int | None, _search(metavar="N", help="Smallest number of pieces in a translation.")] = None
    max_length_ratio: Annotated[
        float | None, _search(metavar="X", help="Largest number of pieces in a translation per source piece ...")
    ] = None
    max_length_offset: Annotated[int | None, _search(metavar="N", help="... plus this number.")] = None
    diverse: Annotated[
        int | None,
        _other_search(
            min=2,
            metavar="N",
            help="Divide the beam into N groups that avoid one another's pieces (Vijayakumar et al. 2018).",
        ),
    ] = None
    diversity: Annotated[
        float | None,
        _other_search(
            metavar="X",
            help="What a piece costs a group, in nats, for each hypothesis of the groups before that has just taken it;"
            " by default 0.5.",
        ),
    ] = None
    sample: Annotated[bool, _other_search("--sample", help="Draw each piece at random, by its probability.")] = False
    temperature: Annotated[
        float | None,
        _other_search(
            metavar="X",
            help="Below 1, probable pieces are drawn more often than they are probable; above 1, less often.",
        ),
    ] = None
    top_k: Annotated[int | None, _other_search(metavar="N", help="Draw among the N most probable pieces.")] = None
    top_p: Annotated[
        float | None,
        _other_search(
            metavar="X",
            help="Draw among the fewest pieces that have this share of the probability (Holtzman et al. 2020).",
        ),
    ] = None
    seed: Annotated[
        int | None,
        _other_search(
            metavar="N", help="The same seed draws the same; by default a new one each time, which is printed."
        ),
    ] = None
    mbr: Annotated[
        str | None,
        _other_search(
            metavar="chrf|bleu",
            help="Of all that the beam or --sample finds, write what is most similar to the rest by this metric:"
            " minimum Bayes risk (Kumar and Byrne 2004; Eikema and Aziz 2020). Scores are its expected values.",
        ),
    ] = None
    candidates: Annotated[
        int | None,
        _other_search(
            metavar="N",
            help="Number of draws that --mbr compares with --sample; by default 50. Without --sample, it compares the"
            " beam.",
        ),
    ] = None

    def applied_to(self, options: SearchOptions, n_best: int = 1) -> SearchOptions:
        """`options` with what was given here.

        An n-best list longer than the model's own beam widens it, and so do groups that do not divide it.
        """
        from s2s_cli.search.options import RiskOptions, SearchOptions

        given = self._given(SearchOptions)
        groups = self.diverse or 1
        if self.beam is not None and self.beam % groups:
            raise UsageError(f"{groups} groups of equal width need a beam that {groups} divides", where="--diverse")
        least = 1 if self.sample else n_best  # draws are made without a beam
        beam = 1 if self.greedy else -(-max(options.beam, least) // groups) * groups
        draws = RiskOptions.draws if self.candidates is None else self.candidates
        own = {
            "beam": beam,
            "n_best": n_best,
            "groups": groups,
            "sampling": self._sampling() if self.sample else None,
            "risk": None if self.mbr is None else RiskOptions(self.mbr, draws),
        }
        return replace(options, **own | given)

    def _sampling(self) -> SamplingOptions:
        """Without a seed, there is a fresh one, which the user is told."""
        from s2s_cli.search.options import SamplingOptions

        given = self._given(SamplingOptions)
        if self.seed is None:
            import secrets

            given["seed"] = secrets.randbits(32)
            console.say(f"--seed {given['seed']} draws the same again")
        return SamplingOptions(**given)

    def _given(self, kind: type) -> dict[str, Any]:
        """What was given of the fields of another class."""
        names = {field.name for field in fields(kind)}
        return {name: value for name, value in vars(self).items() if name in names and value is not None}


@dataclass(frozen=True)
class MachineArguments:
    """What computes, with the names and values of `Translator.load`."""

    device: Annotated[str, _machine(metavar="auto|cpu|cuda", help="Where to compute.")] = "auto"
    threads: Annotated[int | None, _machine(min=1, metavar="N", help="Processor threads, by default one per core.")] = (
        None
    )
    workers: Annotated[
        int | None,
        _machine(
            min=1,
            metavar="N",
            help="Worker processes for long input, with one thread each; by default one per core. Short input is"
            " translated by one process with all threads.",
        ),
    ] = None
    precision: Annotated[
        str,
        _machine(
            metavar="auto|fp32|bf16",
            help="Number type of PyTorch's matrix products. `auto` is fp32; with bf16, a translation may depend on the"
            " other lines.",
        ),
    ] = "auto"
    engine: Annotated[
        str,
        _machine(
            metavar="auto|reference|fast|int8",
            help="What decodes: PyTorch operations, fused operations in C, or these in 8 bits. `auto` is int8 if that"
            " cost the model at most 0.1 BLEU on its dev set, else fast, or reference where neither is available.",
        ),
    ] = "auto"
    shortlist: Annotated[
        bool,
        _machine(
            "--shortlist",
            help="Write only pieces that occurred with those of the source in training: faster, with rare differences.",
        ),
    ] = False

    def load_translator(self, models: Sequence[Path]) -> Translator:
        """The model, or the ensemble; with as many workers as threads, or cores, unless a number was given."""
        from s2s_cli.cores import usable_cores
        from s2s_cli.inference.translator import Translator

        workers = self.workers or self.threads or usable_cores()
        return Translator.load(models, **vars(replace(self, workers=workers)))


@dataclass(frozen=True)
class BulkArguments:
    """How the work is divided among processes and machines."""

    shard: Annotated[
        str | None,
        _bulk(
            metavar="K/N",
            help="Translate the Kth of N parts only, into OUTPUT.K-of-N; of several inputs, every Nth file. What was"
            " done before is skipped.",
        ),
    ] = None
    join: Annotated[bool, _bulk("--join", help="Put the parts together, after all are translated.")] = False
    ray: Annotated[
        str | None,
        _bulk(
            metavar="ADDRESS",
            help="Translate on a Ray cluster: `local` starts one on this machine, `auto` takes the one that runs"
            " here. --workers is then the number of parts at a time. Needs s2s-cli[ray].",
        ),
    ] = None
    column: Annotated[
        str | None,
        _bulk(
            metavar="NAME",
            help="Column of the text in .parquet files (by default `text`), or in .jsonl files, which are lines without"
            " this option. All columns are written, and `translation`. With -o DIR/, --shard or --ray.",
        ),
    ] = None

    @property
    def part(self) -> tuple[int, int] | None:
        """K and N of --shard. Raises UsageError."""
        if self.shard is None:
            return None
        number, slash, count = self.shard.partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise UsageError(f"`{self.shard}` is no shard", where="--shard", hint="from 1/N to N/N, such as 3/64")
        return int(number), int(count)


@dataclass(frozen=True)
class MetricArguments:
    """What to score by."""

    bleu: Annotated[bool, _metric("--bleu", help="BLEU (Papineni et al. 2002).")] = False
    chrf: Annotated[bool, _metric("--chrf", help="chrF (Popović 2015).")] = False
    chrf_words: Annotated[bool, _metric("--chrf++", help="chrF++, with words (Popović 2017).")] = False
    ter: Annotated[bool, _metric("--ter", help="TER (Snover et al. 2006); less is better.")] = False
    accuracy: Annotated[bool, _metric("--accuracy", help="Share of the lines that equal their reference.")] = False
    character_accuracy: Annotated[
        bool,
        _metric("--character-accuracy", help="Share of the reference's characters that stand at the same position."),
    ] = False

    rouge: Annotated[
        bool, _metric("--rouge", help="ROUGE-1, -2 and -L, for summaries (Lin 2004); needs s2s-cli[rouge].")
    ] = False
    distinct: Annotated[
        bool,
        _metric(
            "--distinct",
            help="Distinct words, and distinct pairs of words, for each 100 words written (Li et al. 2016).",
        ),
    ] = False
    perplexity: Annotated[
        bool,
        _metric(
            "--perplexity", help="Perplexity of the references, per piece of the model's tokenizer; less is better."
        ),
    ] = False

    def names(self) -> list[str]:
        """The metrics that were asked for, or else BLEU and chrF, by their names in `s2s_cli.evaluation`."""
        asked = [name for flag, wanted in vars(self).items() if wanted for name in _NAMES.get(flag, (flag,))]
        return asked or ["bleu", "chrf"]


_NAMES = {
    "chrf_words": ("chrf++",),
    "distinct": ("distinct-1", "distinct-2"),
    "rouge": ("rouge-1", "rouge-2", "rouge-L"),
}
"""Of what an option stands for, where that is not its own name."""


def warn_of_segmenter(options: SearchOptions, language: str) -> None:
    """Say so if --mbr compares by BLEU in a language whose words it does not find. language: of the translations."""
    from s2s_cli.text.segmenters import tokenizer_notice

    if options.risk and options.risk.utility == "bleu" and (notice := tokenizer_notice(language)):
        console.warn(notice)


def load(recipe: Path, overrides: list[str] | None) -> Recipe:
    """The recipe with its overrides."""
    from s2s_cli.recipe.loading import load_recipe

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
