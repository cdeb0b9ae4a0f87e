"""The written corpora of a recipe: those that are there, and the missing ones, which a process of its own writes.

A model runs threads, and preparing data forks workers, which must not meet in one process: so whatever runs a model
here runs in a new Python, whose memory is then free again.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from s2s_cli import atomic
from s2s_cli.data.corpora import ParallelCorpus
from s2s_cli.data.preparation import Written
from s2s_cli.processes import apart
from s2s_cli.recipe.schema import Recipe
from s2s_cli.synthesis.plan import Plan, kept_corpus, plan_of


def written_corpora(recipe: Recipe, recipe_dir: Path, run: Path) -> Written:
    """The corpora that models write, all written. The caller holds the lock of the run.

    Raises UsageError for models that are not found or do not fit, DataError for faults of their texts.
    """
    return _written(recipe, recipe_dir, run, None)


def tried_corpora(recipe: Recipe, recipe_dir: Path, run: Path, trial: Path) -> Written:
    """The same, without writing the missing ones: a sample of each is written below `trial`, and it is said how long
    all of it will take."""
    return _written(recipe, recipe_dir, run, trial)


def _written(recipe: Recipe, recipe_dir: Path, run: Path, trial: Path | None) -> Written:
    numbers = [number for number, corpus in enumerate(recipe.data.train) if corpus.mono is not None]
    if not numbers:
        return {}
    kept = {number: kept_corpus(recipe, number, recipe_dir, run) for number in numbers}
    found = {number: corpus for number, corpus in kept.items() if corpus is not None}
    plans = {number: plan_of(recipe, number, recipe_dir, run) for number in numbers if number not in found}
    there = {number: plan.there() for number, plan in plans.items()}
    missing = {plan.directory: plan for number, plan in plans.items() if there[number] is None}
    corpora: dict[Path, ParallelCorpus] = {}
    if missing and trial is not None:
        directories = [trial / "synthesis" / directory.name for directory in missing]
        sizes = apart(partial(_try, list(missing.values()), directories), fresh=True)
        for plan, directory, lines in zip(missing.values(), directories, sizes, strict=True):
            corpora[plan.directory] = plan.corpus_in(directory, stands_for=lines)
    elif missing:
        atomic.sweep(run / "synthesis")
        apart(partial(_write, list(missing.values())), fresh=True)
        corpora = {directory: plan.corpus_in(directory) for directory, plan in missing.items()}
    return found | {number: there[number] or corpora[plan.directory] for number, plan in plans.items()}


def _write(plans: list[Plan]) -> None:
    from s2s_cli.synthesis.writing import write_corpus  # late: it takes torch, which nothing else here does

    for plan in plans:
        write_corpus(plan)


def _try(plans: list[Plan], directories: list[Path]) -> list[int]:
    """The number of lines of each corpus, of which a sample is written into the directory."""
    from s2s_cli.synthesis.writing import try_corpus

    return [try_corpus(plan, directory) for plan, directory in zip(plans, directories, strict=True)]
