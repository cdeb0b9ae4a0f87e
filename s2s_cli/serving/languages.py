"""The names of languages, and which of the served ones a text is written in."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from s2s_cli.serving.limits import Refused
from s2s_cli.text.languages import base_of

NAMES = dict(
    line.split(" ", 1)
    for line in """af Afrikaans
ar Arabic
az Azerbaijani
be Belarusian
bg Bulgarian
bn Bengali
bs Bosnian
ca Catalan
cs Czech
cy Welsh
da Danish
de German
el Greek
en English
eo Esperanto
es Spanish
et Estonian
eu Basque
fa Persian
fi Finnish
fr French
ga Irish
gl Galician
he Hebrew
hi Hindi
hr Croatian
hu Hungarian
hy Armenian
id Indonesian
is Icelandic
it Italian
ja Japanese
ka Georgian
kk Kazakh
ko Korean
la Latin
lt Lithuanian
lv Latvian
mk Macedonian
ms Malay
mt Maltese
nb Norwegian Bokmål
ne Nepali
nl Dutch
nn Norwegian Nynorsk
no Norwegian
pl Polish
pt Portuguese
ro Romanian
ru Russian
sk Slovak
sl Slovenian
sq Albanian
sr Serbian
sv Swedish
sw Swahili
ta Tamil
te Telugu
th Thai
tl Filipino
tr Turkish
uk Ukrainian
ur Urdu
uz Uzbek
vi Vietnamese
zh Chinese""".splitlines()
)
"""English names by code."""


def name_of(code: str) -> str:
    """The English name of a language; its code where that is unknown."""
    return NAMES.get(code) or NAMES.get(base_of(code), code)


class Guess(NamedTuple):
    """A language, and how sure that is, from 0 to 100."""

    language: str
    confidence: float


class Detector:
    """Tells languages apart, as far as they are served: by py3langid, a naive Bayes classifier over n-grams of bytes
    (Lui and Baldwin 2012), with its own model of 4.6 MB. It is loaded when it is first needed.

    lingua was weighed: a hundred megabytes; langdetect: not kept since 2021, and its guesses change from call to call.
    """

    def __init__(self, codes: Sequence[str]) -> None:
        self._codes = {base_of(code): code for code in codes}
        self._classifier: Any = None
        self._lock = asyncio.Lock()

    async def guesses(self, text: str) -> list[Guess]:
        """The served languages, the most probable first. A text without letters could be in any of them. Raises Refused
        if the classifier knows none of them."""
        if len(self._codes) == 1:  # nothing to tell apart
            return [Guess(code, 100.0) for code in self._codes.values()]
        async with self._lock:
            if self._classifier is None:
                self._classifier = await asyncio.to_thread(_load, list(self._codes))
        if not self._codes.keys() & set(self._classifier.labels):
            raise Refused(400, "The language of a text cannot be detected here: name its source language")
        ranked = self._classifier.rank(text[:5000])
        return [Guess(self._codes[base], round(100 * share, 1)) for base, share in ranked]


def _load(bases: Sequence[str]) -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    classifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    known = set(classifier.labels)
    classifier.set_languages([base for base in bases if base in known] or None)
    return classifier
