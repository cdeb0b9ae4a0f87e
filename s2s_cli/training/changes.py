"""Changes between two starts of the same run, and which of them its checkpoints do not allow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from s2s_cli import console
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.data.preparation import PreparedData, other_data
from s2s_cli.errors import UsageError
from s2s_cli.forms import KeyPath
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.recipe.yaml_text import to_yaml

FIXED = re.compile(
    r"languages\.|data\.(dev|cleaning|protect)\.(?!share:)|data\.(protect|terms):|init[:.]|tokenizer\.|model\."
    r"|data\.train\.(?!\d+\.weight:)"  # a weight changes the order alone
    r"|validation\.metric:|training\.averaging\.method: ema "  # scores are of these weights, and compare
)

ABSENT = "(absent)"

BARE = re.compile(r": (\(absent\) -> (null|\[\])|(null|\[\]) -> \(absent\))$")
"""What else changes where a section or a corpus comes or goes; it is not told."""


def tell_changes(recipe: Recipe, run: RunDirectory) -> None:
    """Say what changed in the recipe since the last start. Raises `UsageError` if the checkpoints do not allow it."""
    if not run.recipe.exists():
        return
    differences = recipe_differences(load_recipe(run.recipe).with_folders([]), recipe.with_folders([]))
    for difference in differences:
        if not BARE.search(difference):
            console.say(f"changed recipe: {difference}")
    refused = [difference for difference in differences if FIXED.match(difference)]
    if refused and any(run.checkpoints.glob("step-*")):
        raise fixed(refused[0].partition(": ")[0], run)


def fixed(key: str, run: RunDirectory) -> UsageError:
    """The error for a key of the recipe that the checkpoints of the run do not allow to change."""
    return UsageError(
        f"this cannot change once the run has checkpoints: {key}",
        where=run.root,
        hint="train under another name (`name:` or --run), or remove the run",
    )


def recipe_differences(old: Recipe, new: Recipe) -> list[str]:
    """Lines such as `training.learning_rate: 0.001 -> 0.0003`, in the order of the schema; none if nothing changed."""
    before, after = (dict(_leaves(recipe.values())) for recipe in (old, new))
    keys = list(before | after)
    return [
        f"{key}: {before.get(key, ABSENT)} -> {after.get(key, ABSENT)}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[str, str]]:
    """Dotted key and value as text of everything that has no keys below it."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not items:
        yield ".".join(map(str, path)), _written(value)
    for key, inner in items:
        yield from _leaves(inner, (*path, key))


def _written(value: Any) -> str:
    return value if isinstance(value, str) else to_yaml(value).removesuffix("...\n").strip()


@dataclass(frozen=True)
class Basis:
    """What a checkpoint was trained on."""

    data: str
    """See `PreparedData.learnt`."""
    order: dict[str, Any]
    """What else the order of batches depends on."""
    scores: dict[str, Any] = field(default_factory=dict)
    """The keys that make scores of checkpoints compare; none in checkpoints of older versions."""

    @classmethod
    def of(cls, recipe: Recipe, prepared: PreparedData) -> Self:
        settings, weights, protect = recipe.training, recipe.data.weights, recipe.data.protect
        of_scores = ["metric"] if recipe.validation.metric == "loss" else ["metric", "beam", "max_pairs"]
        return cls(
            prepared.learnt,
            {
                "seed": recipe.seed,
                "batch_tokens": settings.batch_tokens,
                "batch_sentences": settings.batch_sentences,
            }
            | ({"weights": weights} if weights else {})
            | ({"marked": protect.share} if protect else {})
            | ({"terms": recipe.data.terms.share} if recipe.data.terms else {}),
            {f"validation.{key}": getattr(recipe.validation, key) for key in of_scores},
        )

    def carries(self, older: Basis, run: RunDirectory) -> bool:
        """Whether a checkpoint on the `older` basis can be resumed at its batch; otherwise its epoch must start again.

        Raises `DataError` or `UsageError` if it cannot be resumed at all.
        """
        if self.data != older.data:
            raise other_data(run.root)
        for key, value in older.scores.items():
            if value != self.scores.get(key):
                raise fixed(key, run)
        return self.order == older.order
