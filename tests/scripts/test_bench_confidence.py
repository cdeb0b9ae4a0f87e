"""The benchmark of confidence: what knows the chrF itself orders best, and what is always right has no error."""

from __future__ import annotations

import math

import numpy as np
import pytest

from s2s_cli.checkpoint.model_directory import Confidence
from s2s_cli.inference.confidence import Evidence
from s2s_cli.inference.translation import Candidate, Translation
from scripts.bench_confidence import measured


def test_figures_are_those_of_what_was_translated():
    calibration = Confidence(chrf=50.0, bias=50.0, log_prob=100.0, probability=0.0, ratio=0.0)
    pairs = []
    for number in range(20):
        log_prob, text = (math.log(0.9), "right text") if number % 2 else (math.log(0.1), "zzz")
        candidate = Candidate(text, log_prob, [text], evidence=Evidence([log_prob], [0], 1, np.zeros(1), [0]))
        pairs.append((Translation("x", [candidate], ["x"]), "right text"))
    figures = measured(pairs, calibration)
    assert figures["share of good lines"] == 0.5
    assert figures["calibration error"] == pytest.approx(0.0, abs=1e-6)
    assert figures["risk-coverage area, confidence"] == figures["risk-coverage area, chrF"] < figures["mean risk"]
    assert figures["lines with an omission warning"] == 1.0
