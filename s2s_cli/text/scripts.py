"""Scripts: which script a language is written in, and which share of a line is written in it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from s2s_cli.text.languages import base_of

if TYPE_CHECKING:
    import regex

# ISO 15924 codes that stand for several of Unicode's scripts.
_MIXED = {
    "Jpan": ("Hani", "Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
    "Hans": ("Hani", "Bopo"),
    "Hant": ("Hani", "Bopo"),
}

# Languages by script (ISO 639-1, a few of 639-3). Languages written in several scripts are left out: the rule does not
# apply to them.
_LANGUAGES = {
    "Latn": "af ast br bs ca ceb co cs cy da de en eo es et eu fi fil fo fr fy ga gd gl gn ha haw hr ht hu id ig is it"
    " jv ku la lb lt lv mg mi ms mt nb nl nn no ny oc pl pt qu rm rn ro rw sc sk sl sm sn so sq st su sv sw tl tn to tr"
    " ts vi wo xh yo zu",
    "Cyrl": "ba be bg ce cv ky mk mn ru tg tt uk",
    "Grek": "el",
    "Arab": "ar ckb fa ps sd ug ur",
    "Hebr": "he iw yi",
    "Hans": "zh yue wuu",
    "Jpan": "ja",
    "Kore": "ko",
    "Deva": "hi mr ne sa",
    "Beng": "as bn",
    "Guru": "pa",
    "Gujr": "gu",
    "Orya": "or",
    "Taml": "ta",
    "Telu": "te",
    "Knda": "kn",
    "Mlym": "ml",
    "Sinh": "si",
    "Thai": "th",
    "Laoo": "lo",
    "Tibt": "bo dz",
    "Mymr": "my",
    "Geor": "ka",
    "Ethi": "am ti",
    "Khmr": "km",
    "Armn": "hy",
}
_SCRIPT_OF = {language: script for script, languages in _LANGUAGES.items() for language in languages.split()}

_LETTERS = re.compile(r"[^\W\d_]+")


def script_of(language: str) -> str | None:
    """ISO 15924 code of a language's script: that of its tag ("sr-Latn"), else the usual one; None if unknown."""
    subtags = language.replace("_", "-").split("-")[1:]
    for subtag in subtags:
        if len(subtag) == 4 and subtag.isalpha() and _others(subtag.title()) is not None:
            return subtag.title()
    return _SCRIPT_OF.get(base_of(language))


def script_share(text: str, script: str) -> float:
    """Share of the letters of `text` that belong to `script`, 0 to 1; 1 if there is no letter at all."""
    letters = "".join(_LETTERS.findall(text))
    if not letters or (script == "Latn" and letters.isascii()):
        return 1.0
    others = _others(script)
    assert others is not None, f"{script} is a code that `script_of` gave"
    return len(others.sub("", letters)) / len(letters)


@cache
def _others(script: str) -> regex.Pattern[str] | None:
    """Runs of characters outside a script; None if Unicode does not know it.

    By Unicode's script extensions (https://www.unicode.org/reports/tr24/): the long vowel mark is of both kanas.
    """
    import regex  # late: only cleaning looks at letters, and tags of languages that name a script

    try:
        return regex.compile("[^" + "".join(rf"\p{{scx={part}}}" for part in _MIXED.get(script, (script,))) + "]+")
    except regex.error:
        return None
