"""From a YAML file and `--set` overrides to a `Recipe`, with all faults reported at once; and back to YAML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s2s_cli.errors import RecipeError, UserError, printable
from s2s_cli.forms import FormError, KeyPath
from s2s_cli.recipe.faults import told
from s2s_cli.recipe.schema import Recipe
from s2s_cli.recipe.yaml_text import YamlReader, to_yaml

MOST_BYTES = 1 << 20
MOST_FAULTS = 20  # that are reported


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in `path` with `overrides` such as `training.learning_rate=3e-4` or `data.test.0.name=news` applied.

    Raises RecipeError with every fault there is, each with `file:line` or `--set KEY`.
    """
    reader = YamlReader(str(path))
    try:
        values = reader.read(_text_of(path))
    except UserError as error:
        raise RecipeError([error]) from None
    if not isinstance(values, dict):
        found = "empty" if values is None else "not a mapping of keys to values"
        raise RecipeError([UserError(f"the recipe is {found}", where=path, hint="it begins with `name: ...`")])
    places = {key: f"{path}:{line}" for key, line in reader.lines.items()}
    applied = [_override(values, places, override) for override in overrides]
    faults = reader.duplicates + [fault for fault in applied if fault is not None]
    try:
        recipe = Recipe.read(values)
    except FormError as error:
        faults += told(error.faults, places)
    if faults:
        more = [UserError(f"and {len(faults) - MOST_FAULTS:,} faults more", where=path)] if faults[MOST_FAULTS:] else []
        raise RecipeError(faults[:MOST_FAULTS] + more)
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML, which `load_recipe` reads as an equal recipe.

    With all defaults but those of its corpora: with theirs, a recipe of hundreds of corpora would be too long to read.
    """
    return to_yaml(values_of(recipe))


def values_of(recipe: Recipe) -> dict[str, Any]:
    """The recipe's sections as nested dictionaries, without one that the others leave no effect."""
    values = recipe.values(without=["tokenizer"] if recipe.keeps_tokenizers else ())
    given = recipe.data.given()
    return values | {
        "data": values["data"] | {split: given[split] for split in ("train", "dev", "test") if split in given}
    }


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UserError("there is no such recipe", where=path, hint="give the path of a .yaml file") from None
    except OSError as error:
        raise UserError(f"the recipe cannot be read: {error.strerror}", where=path) from None
    if len(raw) > MOST_BYTES:
        raise UserError(f"larger than {MOST_BYTES >> 20} MiB, the most that a recipe may have", where=path)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError("not valid UTF-8", where=f"{path}:{line}", hint="save the file as UTF-8") from None


def _override(values: dict[str, Any], places: dict[KeyPath, str], override: str) -> UserError | None:
    """Apply one `KEY=VALUE` to `values` and `places`, or return the fault."""
    dotted, equals, text = override.partition("=")
    place = f"--set {printable(dotted)}"
    if not equals or not all(dotted.split(".")):
        return UserError("give KEY=VALUE, such as training.epochs=5", where=place)
    reader = YamlReader(place)
    try:
        value = reader.read(text)
        path = _assign(values, dotted.split("."), value)
    except UserError as error:
        return UserError(error.what, where=place, hint=error.hint)
    if reader.duplicates:
        return UserError(reader.duplicates[0].what, where=place)
    for old in [old for old in places if old[: len(path)] == path]:
        del places[old]
    places.update({path[:depth]: place for depth in range(1, len(path)) if path[:depth] not in places})
    places.update({(*path, *inner): place for inner in reader.lines or {(): 1}})
    return None


def _assign(values: dict[str, Any], keys: list[str], value: Any) -> KeyPath:
    """Set the value at `keys`, creating sections on the way; return the path with list indexes as numbers."""
    path: KeyPath = ()
    inner: Any = values
    for depth, key in enumerate(keys, start=1):
        above = ".".join(keys[: depth - 1])
        if isinstance(inner, list):
            indexes = {str(index): index for index in range(len(inner))}
            if key not in indexes:
                raise UserError(f"`{above}` has no item `{key}`", hint=f"it has {len(inner)}, counted from 0")
            step: str | int = indexes[key]
        elif isinstance(inner, dict):
            step = key
            if inner.get(key) is None:
                inner[key] = {}
        else:
            raise UserError(f"`{above}` has a value, not keys")
        path = (*path, step)
        if depth == len(keys):
            inner[step] = value
        else:
            inner = inner[step]
    return path
