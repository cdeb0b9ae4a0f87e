"""Codes of languages, and which of them mean the same language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Languages(NamedTuple):
    """The codes of both sides; "" for an unknown one."""

    source: str = ""
    target: str = ""


UNKNOWN = Languages()


def is_same_language(one: str, other: str) -> bool:
    """Whether two codes are of one language, whatever the country: `en-US` and `en`."""
    return base_of(one) == base_of(other) != ""


def base_of(code: str) -> str:
    """The language of a code, without region and script: `en` of `en-GB`."""
    return _parts(code)[0]


def in_language(codes: Sequence[str], wanted: str) -> int | None:
    """The place of the code that is the same as the wanted one, or else the first that is of the same language."""
    exact = (place for place, code in enumerate(codes) if _parts(code) == _parts(wanted))
    alike = (place for place, code in enumerate(codes) if is_same_language(code, wanted))
    return next(exact, next(alike, None))


def _parts(code: str) -> list[str]:
    return code.lower().replace("_", "-").split("-")
