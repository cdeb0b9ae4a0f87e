"""What changed between two recipes, one line a key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from s2s_cli.recipe.schema import Recipe
from s2s_cli.recipe.yaml_text import KeyPath, to_yaml

_ABSENT = "(absent)"


def recipe_differences(old: Recipe, new: Recipe) -> list[str]:
    """Lines such as `training.learning_rate: 0.001 -> 0.0003`, in the order of the schema; none if nothing changed."""
    before, after = (dict(_leaves(recipe.model_dump(mode="json"))) for recipe in (old, new))
    keys = list(before | after)
    return [
        f"{key}: {before.get(key, _ABSENT)} -> {after.get(key, _ABSENT)}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _leaves(value: Any, path: KeyPath = ()) -> Iterator[tuple[str, str]]:
    """Dotted key and written value of everything that holds no further keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not items:
        yield ".".join(map(str, path)), _written(value)
    for key, inner in items:
        yield from _leaves(inner, (*path, key))


def _written(value: Any) -> str:
    return value if isinstance(value, str) else to_yaml(value).removesuffix("...\n").strip()
