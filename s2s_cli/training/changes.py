"""Changes between two starts of the same run, and which of them its checkpoints do not allow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, get_args

from s2s_cli import console
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.data.prepared import PreparedData, other_data
from s2s_cli.errors import UsageError
from s2s_cli.forms import KeyPath
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.recipe.schema.data import Format
from s2s_cli.recipe.yaml_text import to_yaml

FIXED = re.compile(
    r"languages\..*|data\.cleaning\..*|data\.protect(\.(?!share$).*)?|data\.terms|init(\..*)?|tokenizer\..*|model\..*"
    # a weight changes the order alone, and whether a file of another name has the same text is seen when it is read
    rf"|data\.(train|dev)\.(?!\d+\.(weight|name|sha256|source|target|mono|{'|'.join(get_args(Format))})\b).*"
    r"|validation\.metric"
)
"""Keys that cannot change once there are checkpoints."""

OF_TRANSLATIONS = ("validation.beam", "validation.max_pairs")
"""Keys that cannot where scores are those of translations."""

NOT_OF_GREEDY = ("decoding.normalization", "decoding.length_penalty")
NOT_OF_SCORES = ("decoding.beam", "decoding.batch_tokens")
"""Keys of `decoding` that greedy validations, and those with any beam, do not depend on."""

ONE_WAY = "training.averaging.method"
"""May become `ema`, but not cease to be it. So a checkpoint alone tells whether it changed: the recipe of the run may
be that of a start after which nothing was trained."""

MEANING = ("languages.", "model.", "validation.", "training.averaging.", "decoding.")
"""What the keys begin with that say what weights and scores mean."""

ABSENT = "(absent)"


class Difference(NamedTuple):
    """A dotted key of a recipe whose value has changed; values as text, or `ABSENT`."""

    key: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}"

    @property
    def is_bare(self) -> bool:
        """Whether it is what else changes where a section or a corpus comes or goes."""
        return ABSENT in (self.before, self.after) and not {"null", "[]"}.isdisjoint((self.before, self.after))

    def is_fixed(self, metric: str) -> bool:
        """Whether checkpoints, whose scores are of this metric, do not allow it."""
        if FIXED.fullmatch(self.key) or (metric != "loss" and self.key in OF_TRANSLATIONS):
            return True
        return self.key == ONE_WAY and self.before == "ema"  # scores are of these, and compare


def tell_changes(recipe: Recipe, run: RunDirectory) -> None:
    """Say what changed in the recipe since the last start. Raises `UsageError` if the checkpoints do not allow it."""
    changes = _changes(recipe, run)
    for difference in changes:
        if not difference.is_bare:
            console.say(f"changed recipe: {difference}")
    _require_allowed(changes, recipe, run)


def require_allowed(recipe: Recipe, run: RunDirectory) -> None:
    """Raise `UsageError` if the recipe changed since the last start as the checkpoints do not allow it."""
    _require_allowed(_changes(recipe, run), recipe, run)


def _require_allowed(changes: Iterable[Difference], recipe: Recipe, run: RunDirectory) -> None:
    if any(run.checkpoints.glob("step-*")):
        refuse_fixed((change for change in changes if change.key != ONE_WAY), recipe.validation.metric, run)


def _changes(recipe: Recipe, run: RunDirectory) -> list[Difference]:
    if not run.recipe.exists():
        return []
    return recipe_differences(settings_of(load_recipe(run.recipe)), settings_of(recipe))


def refuse_fixed(differences: Iterable[Difference], metric: str, run: RunDirectory) -> None:
    """Raise `UsageError` for the first difference that the checkpoints of the run do not allow. metric: of scores."""
    for difference in differences:
        if difference.is_fixed(metric):
            raise UsageError(
                f"this cannot change once the run has checkpoints: {difference.key}",
                where=run.root,
                hint="train under another name (`name:` or --run), or remove the run",
            )


def recipe_differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[Difference]:
    """What has changed between the `settings_of` two recipes, in the order of the schema."""
    return [
        Difference(key, before.get(key, ABSENT), after.get(key, ABSENT))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    ]


def settings_of(recipe: Recipe) -> dict[str, str]:
    """All dotted keys of a recipe and their values as text, except for the folders of its corpora."""
    return dict(_leaves(recipe.with_folders([]).values()))


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
    """See `DataManifest.learnt`."""
    order: dict[str, Any]
    """What else the order of batches depends on."""
    meaning: dict[str, str] = field(default_factory=dict)
    """The settings that say what weights and scores mean: the recipe of the run may have been edited. None
    in checkpoints of older versions."""

    @classmethod
    def of(cls, recipe: Recipe, prepared: PreparedData) -> Self:
        settings, weights, protect = recipe.training, recipe.data.weights, recipe.data.protect
        return cls(
            prepared.manifest.learnt,
            {
                "seed": recipe.seed,
                "batch_tokens": settings.batch_tokens,
                "batch_sentences": settings.batch_sentences,
            }
            | ({"weights": weights, "sizes": prepared.train_sizes} if weights else {})
            | ({"marked": protect.share} if protect else {})
            | ({"terms": recipe.data.terms.share} if recipe.data.terms else {}),
            {key: value for key, value in settings_of(recipe).items() if key.startswith(MEANING)},
        )

    def carries(self, older: Basis, run: RunDirectory) -> bool:
        """Whether a checkpoint on the `older` basis can be resumed at its batch; otherwise its epoch must start again.

        Raises `DataError` or `UsageError` if it cannot be resumed at all.
        """
        if self.data != older.data:
            raise other_data(run.root)
        refuse_fixed(self._differences(older), self.meaning["validation.metric"], run)
        added = {"sizes"} - older.order.keys()  # since versions of which there may be checkpoints
        return {key: value for key, value in self.order.items() if key not in added} == older.order

    def require_same_search(self, older: Basis, run: RunDirectory) -> None:
        """Raise `UsageError` if validations search otherwise than on the `older` basis, and scores depend on it."""
        if self.meaning["validation.metric"] == "loss":
            return
        free = NOT_OF_SCORES + (NOT_OF_GREEDY if self.meaning["validation.beam"] == "1" else ())
        for difference in self._differences(older):
            if difference.key.startswith("decoding.") and difference.key not in free:
                raise UsageError(
                    f"this cannot change before the run is finished, since dev scores depend on it: {difference}",
                    where=run.root,
                    hint="change it then, or train under another name (`name:` or --run)",
                )

    def _differences(self, older: Basis) -> list[Difference]:
        common = [key for key in older.meaning if key in self.meaning]  # versions add keys, and drop some
        return recipe_differences(*({key: basis.meaning[key] for key in common} for basis in (older, self)))
