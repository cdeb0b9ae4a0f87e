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


_THREE_LETTERS = {
    "ar": "ara", "bg": "bul", "ca": "cat", "cs": "ces cze", "da": "dan", "de": "deu ger", "el": "ell gre", "en": "eng",
    "es": "spa", "et": "est", "eu": "eus baq", "fa": "fas per", "fi": "fin", "fr": "fra fre", "ga": "gle", "gl": "glg",
    "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "hy": "hye arm", "id": "ind", "is": "isl ice", "it": "ita",
    "ja": "jpn", "ka": "kat geo", "ko": "kor", "lt": "lit", "lv": "lav", "mk": "mkd mac", "mn": "mon", "ms": "msa may",
    "nb": "nob", "nl": "nld dut", "nn": "nno", "no": "nor", "pl": "pol", "pt": "por", "ro": "ron rum", "ru": "rus",
    "sk": "slk slo", "sl": "slv", "sq": "sqi alb", "sr": "srp", "sv": "swe", "sw": "swa", "ta": "tam", "th": "tha",
    "tr": "tur", "uk": "ukr", "ur": "urd", "vi": "vie", "zh": "zho chi cmn",
}  # fmt: skip
_TWO_LETTERS = {long: code for code, longs in _THREE_LETTERS.items() for long in longs.split()}


def base_of(code: str) -> str:
    """The language of a code, without region and script: `en` of `en-GB`, and of `eng` (ISO 639-2)."""
    language = _parts(code)[0]
    return _TWO_LETTERS.get(language, language)


def in_language(codes: Sequence[str], wanted: str) -> int | None:
    """The place of the code that is the same as the wanted one, or else the first that is of the same language."""
    exact = (place for place, code in enumerate(codes) if _parts(code) == _parts(wanted))
    alike = (place for place, code in enumerate(codes) if is_same_language(code, wanted))
    return next(exact, next(alike, None))


def _parts(code: str) -> list[str]:
    return code.lower().replace("_", "-").split("-")
