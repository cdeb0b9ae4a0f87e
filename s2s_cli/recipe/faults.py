"""Messages for the faults of a recipe: place, key, fault, and the key or value that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from s2s_cli.errors import UserError, printable
from s2s_cli.forms import Fault, KeyPath, keys
from s2s_cli.recipe.schema import Recipe, Section


def told(found: Sequence[Fault], places: dict[KeyPath, str]) -> list[UserError]:
    """One fault for each faulty value, in the order of `places` (the place of each value that was given)."""
    order = {path: number for number, path in enumerate(places)}
    by_path: dict[tuple[KeyPath, KeyPath], list[Fault]] = {}
    for fault in found:
        given = _given(fault.path, places)
        shown = fault.path if fault.kind == "missing" else given
        by_path.setdefault((given, shown), []).append(fault)
    faults = []
    for (given, shown), group in sorted(by_path.items(), key=lambda item: order[item[0][0]]):
        whats = list(dict.fromkeys(fault.what for fault in group))  # several if a value is of no type of a union
        hint = next((hint for fault in group if (hint := _hint(fault))), None)
        key, place = printable(".".join(map(str, shown))), places[given]
        prefix = f"{key}: " if key and not place.endswith(f" {key}") else ""  # `--set KEY` names the key already
        faults.append(UserError(prefix + ", or ".join(whats), where=place, hint=hint))
    return faults


def _given(path: KeyPath, places: dict[KeyPath, str]) -> KeyPath:
    """The innermost value on the way to `path` that the recipe gives."""
    while path not in places:
        path = path[:-1]
    return path


def _hint(fault: Fault) -> str | None:
    if fault.kind == "unknown":
        return _key_meant(fault)
    if fault.kind == "choice":
        near = difflib.get_close_matches(str(fault.given), map(str, fault.of), n=1)
        return f"did you mean `{near[0]}`?" if near else None
    if fault.kind != "type":
        return None
    if fault.of is bool and str(fault.given).lower() in ("yes", "no", "on", "off"):
        return f"write {'true' if fault.given.lower() in ('yes', 'on') else 'false'}"
    if fault.of is str and isinstance(fault.given, (int, float)):
        return "put it into quotes"
    return "leave the key out to have its default" if fault.given is None else None


def _key_meant(fault: Fault) -> str | None:
    """The known key that is most like an unknown one: the same key elsewhere, else a similar neighbour, else any
    similar key."""
    *above, key = fault.path
    neighbours, everywhere = list(keys(fault.of)), dict.fromkeys(_dotted_keys(Recipe))
    if ".".join(map(str, fault.path)) in everywhere:
        return f"other kinds of `{above[-1]}` have this key"
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


def _sections_in(hint: Any) -> Iterator[type[Section]]:
    """The section that a type is or contains (`Corpus` in `list[Corpus]`); all sections of a union."""
    if isinstance(hint, type) and issubclass(hint, Section):
        yield hint
    for inner in get_args(hint):
        yield from _sections_in(inner)


def _dotted_keys(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Every key of a recipe, outer ones first."""
    yield from (prefix + key for key in keys(section))
    for key, hint in keys(section).items():
        for inner in _sections_in(hint):
            yield from _dotted_keys(inner, f"{prefix}{key}.")
