"""Minimum Bayes risk: of several candidates, the one that is most like what the model would write (Kumar and Byrne
2004, "Minimum Bayes-Risk Decoding for Statistical Machine Translation").

The expected utility of a candidate is Σ_j p_j u(candidate, y_j), where the utility u scores it as sacreBLEU would score
a sentence if y_j were the reference. The y_j are the candidates themselves. Of a search, p_j is the probability of a
candidate over that of all candidates (Kumar and Byrne, section 4); of independent draws it is the same for each, for
probable texts are drawn more often (Eikema and Aziz 2020, "Is MAP Decoding All You Need?", section 7; Freitag et al.
2022, "High Quality Rather than High Model Probability").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from s2s_cli.search.history import Hypothesis
from s2s_cli.text.similarity import Utility


def least_risk(
    hypotheses: Sequence[Hypothesis], texts: Sequence[str], utility: Utility, count: int, *, drawn: bool
) -> list[Hypothesis]:
    """The `count` candidates of greatest expected utility, which becomes their score; of equals the earlier one.

    texts: of the hypotheses. Those with the same text are one candidate. drawn: whether the hypotheses are independent
    draws; if not, what the length limit cut is left out where others ended, for it has the probability of a prefix.
    """
    pairs = list(zip(hypotheses, texts, strict=True))
    if not drawn:
        pairs = [pair for pair in pairs if pair[0].finished] or pairs
    most = max(hypothesis.log_prob for hypothesis, _ in pairs)
    first: dict[str, Hypothesis] = {}
    weights: dict[str, float] = {}
    for hypothesis, text in pairs:
        first.setdefault(text, hypothesis)
        weights[text] = weights.get(text, 0.0) + (1.0 if drawn else math.exp(hypothesis.log_prob - most))
    total = sum(weights.values())
    # `fsum` rounds once: sums that are equal compare as equal, in whatever order.
    expected = [
        math.fsum(score * weight for score, weight in zip(row, weights.values(), strict=True)) / total
        for row in utility(list(first)).tolist()
    ]
    ranked = sorted(zip(first.values(), expected, strict=True), key=lambda pair: -pair[1])
    return [replace(hypothesis, score=score) for hypothesis, score in ranked[:count]]
