"""Scripts: which letters a language is written with, and how much of a line is."""

from __future__ import annotations

import re
from functools import cache

# Unicode blocks with letters of the script, as the inside of a character class.
_BLOCKS = {
    "Latn": "A-Za-z\u00aa\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f"
    "\ua720-\ua7ff\uab30-\uab6f\ufb00-\ufb06\uff21-\uff3a\uff41-\uff5a",
    "Cyrl": "\u0400-\u052f\u1c80-\u1c8f\u2de0-\u2dff\ua640-\ua69f",
    "Grek": "\u0370-\u03ff\u1f00-\u1fff",
    "Arab": "\u0600-\u06ff\u0750-\u077f\u0870-\u08ff\ufb50-\ufdff\ufe70-\ufefc",
    "Hebr": "\u0590-\u05ff\ufb1d-\ufb4f",
    "Hani": "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff",
    "Kana": "\u3031-\u3035\u3041-\u30ff\u31f0-\u31ff\uff66-\uff9f",
    "Hang": "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc",
    "Bopo": "\u3100-\u312f\u31a0-\u31bf",
    "Deva": "\u0900-\u097f\ua8e0-\ua8ff",
    "Beng": "\u0980-\u09ff",
    "Guru": "\u0a00-\u0a7f",
    "Gujr": "\u0a80-\u0aff",
    "Orya": "\u0b00-\u0b7f",
    "Taml": "\u0b80-\u0bff",
    "Telu": "\u0c00-\u0c7f",
    "Knda": "\u0c80-\u0cff",
    "Mlym": "\u0d00-\u0d7f",
    "Sinh": "\u0d80-\u0dff",
    "Thai": "\u0e00-\u0e7f",
    "Laoo": "\u0e80-\u0eff",
    "Tibt": "\u0f00-\u0fff",
    "Mymr": "\u1000-\u109f\uaa60-\uaa7f",
    "Geor": "\u10a0-\u10ff\u1c90-\u1cbf\u2d00-\u2d2f",
    "Ethi": "\u1200-\u139f\u2d80-\u2ddf",
    "Khmr": "\u1780-\u17ff",
    "Armn": "\u0530-\u058f\ufb13-\ufb17",
}

# ISO 15924 codes that stand for several of the scripts above.
_MIXED = {
    "Jpan": ("Hani", "Kana"),
    "Kore": ("Hang", "Hani"),
    "Hans": ("Hani", "Bopo"),
    "Hant": ("Hani", "Bopo"),
}

# Languages by script (ISO 639-1, a few of 639-3). Those written in several scripts are left out: no rule for them.
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
    primary, *subtags = language.replace("_", "-").split("-")
    for subtag in subtags:
        if subtag.title() in _BLOCKS or subtag.title() in _MIXED:
            return subtag.title()
    return _SCRIPT_OF.get(primary.lower())


def script_share(text: str, script: str) -> float:
    """Share of the letters of `text` that belong to `script`, 0 to 1; 1 if there is no letter at all."""
    letters = "".join(_LETTERS.findall(text))
    if not letters or (script == "Latn" and letters.isascii()):
        return 1.0
    return len(_others(script).sub("", letters)) / len(letters)


@cache
def _others(script: str) -> re.Pattern[str]:
    """Runs of characters outside a script."""
    return re.compile("[^" + "".join(_BLOCKS[part] for part in _MIXED.get(script, (script,))) + "]+")
