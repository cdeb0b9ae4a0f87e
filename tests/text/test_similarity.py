"""The scores of texts with each other are those that sacreBLEU gives to sentences."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from s2s_cli.text.similarity import build_utility

METRICS = {"chrf": lambda language: CHRF(), "bleu": lambda language: BLEU(tokenize=language, effective_order=True)}

texts = st.text(alphabet="ab \u3000.,\u4e2d\U0001f600e\u0301", max_size=30)  # few letters: many n-grams come twice
sentences = st.lists(st.sampled_from(["a", "b", "the", "end."]), max_size=9).map(" ".join)


def plain_score(name: str, tokenizer: str, text: str, reference: str) -> float:
    return METRICS[name](tokenizer).sentence_score(text, [reference]).score


@pytest.mark.parametrize(
    ("name", "language", "tokenizer"), [("chrf", "en", ""), ("bleu", "en", "13a"), ("bleu", "zh", "zh")]
)
@given(st.lists(texts | sentences, min_size=1, max_size=7))
@example(["", " ", "a"])
@example(["the cat sat on the mat", "the the the the", "a cat sat on a mat.", "x"])
@settings(max_examples=40, deadline=None)
def test_utilities_are_those_of_sacrebleu_to_the_last_digit(
    name: str, language: str, tokenizer: str, candidates: list[str]
) -> None:
    found = build_utility(name, language)(candidates).tolist()
    assert found == [[plain_score(name, tokenizer, text, other) for other in candidates] for text in candidates]
