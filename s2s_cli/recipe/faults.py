"""Readable messages for the faults that pydantic finds in a recipe: key, fault, and the key or value that was meant."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from s2s_cli.errors import UserError, printable
from s2s_cli.recipe.schema import Recipe, Section
from s2s_cli.recipe.yaml_text import KeyPath

_WANTED = {
    "bool_type": "true or false",
    "dict_type": "a section with keys",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a section with keys",
    "string_type": "text",
    "tuple_type": "a list",
}
_OTHERWISE: dict[str, Callable[[dict[str, Any]], str]] = {
    "greater_than": lambda limits: f"must be greater than {limits['gt']:g}",
    "greater_than_equal": lambda limits: f"must be at least {limits['ge']:g}",
    "less_than": lambda limits: f"must be less than {limits['lt']:g}",
    "less_than_equal": lambda limits: f"must be at most {limits['le']:g}",
    "too_short": lambda limits: f"needs {limits['min_length']} item or more",
    "too_long": lambda limits: f"takes no more than {limits['max_length']} items",
    "string_pattern_mismatch": lambda limits: "takes letters, digits, `.`, `_` and `-` only",
    "value_error": lambda limits: str(limits["error"]),
}


def told(errors: list[ErrorDetails], places: dict[KeyPath, str]) -> list[UserError]:
    """One fault for each faulty value, in the order of `places` (the place of each value that was given)."""
    order = {path: number for number, path in enumerate(places)}
    by_path: dict[tuple[KeyPath, KeyPath], list[tuple[str, str | None]]] = {}
    for error in errors:
        keys, _ = _keys_and_section(error["loc"])
        if error["type"] == "union_tag_invalid":
            keys = (*keys, "kind")
        given = _given(keys, places)
        shown = keys if error["type"] == "missing" else given
        by_path.setdefault((given, shown), []).append(_what_and_hint(error))
    faults = []
    for (given, shown), findings in sorted(by_path.items(), key=lambda item: order[item[0][0]]):
        whats = list(dict.fromkeys(what for what, _ in findings))  # several if no member of a union fits
        hint = next((hint for _, hint in findings if hint), None)
        key, place = printable(".".join(map(str, shown))), places[given]
        prefix = f"{key}: " if key and not place.endswith(f" {key}") else ""  # `--set KEY` names the key already
        faults.append(UserError(prefix + ", or ".join(whats), where=place, hint=hint))
    return faults


def _given(path: KeyPath, places: dict[KeyPath, str]) -> KeyPath:
    """The innermost value on the way to `path` that the recipe gives."""
    while path not in places:
        path = path[:-1]
    return path


def _what_and_hint(error: ErrorDetails) -> tuple[str, str | None]:
    kind, given, limits = error["type"], error["input"], error.get("ctx", {})
    if kind == "missing":
        return "this key is missing", None
    if kind == "extra_forbidden":
        return "unknown key", _key_meant(error["loc"])
    if kind == "literal_error":
        return _choice(given, limits["expected"])
    if kind == "union_tag_invalid":
        return _choice(given["kind"], limits["expected_tags"])
    if kind in _WANTED:
        return f"give {_WANTED[kind]}, not {_shown(given)}", _type_hint(kind, given)
    if kind in _OTHERWISE:
        return _OTHERWISE[kind](limits), None
    return error["msg"], None


def _choice(given: Any, expected: str) -> tuple[str, str | None]:
    choices = re.findall(r"'([^']*)'", expected)
    near = difflib.get_close_matches(str(given), choices, n=1)
    what = f"must be one of {', '.join(choices)}, not {_shown(given)}"
    return what, f"did you mean `{near[0]}`?" if near else None


def _type_hint(kind: str, given: Any) -> str | None:
    if kind == "bool_type" and str(given).lower() in ("yes", "no", "on", "off"):
        return f"write {'true' if given.lower() in ('yes', 'on') else 'false'}"
    if kind == "string_type" and isinstance(given, (int, float)):
        return "put it into quotes"
    if given is None:
        return "leave the key out to have its default"
    return None


def _shown(value: Any) -> str:
    """`value`, shortened for a message."""
    return printable(f"the text {value!r}" if isinstance(value, str) else json.dumps(value, ensure_ascii=False), 60)


def _key_meant(location: KeyPath) -> str | None:
    """The known key that is most like an unknown one: the same key elsewhere, else a similar neighbour, else any
    similar key."""
    *above, key = location
    keys, section = _keys_and_section(tuple(above))
    neighbours = list(_keys(section)) if section else []
    everywhere = dict.fromkeys(_dotted_keys(Recipe))
    if section and ".".join(map(str, (*keys, key))) in everywhere:
        return f"other kinds of `{keys[-1]}` have this key"
    near_neighbours = difflib.get_close_matches(str(key), neighbours, n=1, cutoff=0.5)
    namesakes = [dotted for dotted in everywhere if dotted.rpartition(".")[2] == key]
    near_anywhere = difflib.get_close_matches(str(key), {dotted.rpartition(".")[2] for dotted in everywhere}, n=1)
    if namesakes:
        meant = namesakes[:3]
    elif near_neighbours:
        meant = near_neighbours
    elif near_anywhere:
        meant = [dotted for dotted in everywhere if dotted.rpartition(".")[2] == near_anywhere[0]][:3]
    else:
        return f"known here: {', '.join(neighbours)}" if neighbours else None
    return f"did you mean {' or '.join(f'`{dotted}`' for dotted in meant)}?"


def _keys_and_section(location: KeyPath) -> tuple[KeyPath, type[Section] | None]:
    """The keys to a value, without the kinds that pydantic inserts after the key of a union; and the section there."""
    keys: list[str | int] = []
    sections: list[type[Section]] = [Recipe]
    for part in location:
        if len(sections) > 1:
            sections = [section for section in sections if part in get_args(section.model_fields["kind"].annotation)]
            continue
        keys.append(part)
        if isinstance(part, str):
            field = _keys(sections[0]).get(part) if sections else None
            sections = list(_sections_in(field.annotation)) if field else []
    return tuple(keys), sections[0] if sections else None


def _keys(section: type[Section]) -> dict[str, FieldInfo]:
    """The fields of a section by their keys in a recipe, where Python's own words may stand."""
    return {field.alias or name: field for name, field in section.model_fields.items()}


def _sections_in(annotation: Any) -> Iterator[type[Section]]:
    """The section that `annotation` is or contains (`Corpus` in `list[Corpus]`); all sections of a union."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from _sections_in(inner)


def _dotted_keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Every key of a recipe, outer ones first."""
    yield from (prefix + key for key in _keys(section))
    for key, field in _keys(section).items():
        for inner in _sections_in(field.annotation):
            yield from _dotted_keys(inner, f"{prefix}{key}.")
