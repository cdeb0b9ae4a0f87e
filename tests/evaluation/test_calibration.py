"""Calibration: the regressions against their definitions, and measures of confidence against plain ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.chrf import CHRF

from s2s_cli.checkpoint.model_directory import Confidence
from s2s_cli.evaluation import calibration
from s2s_cli.evaluation.calibration import (
    calibrate,
    chance_error,
    expected_calibration_error,
    logistic_regression,
    ridge_regression,
    risk_coverage_area,
    sentence_chrf,
)
from s2s_cli.inference.confidence import Evidence, confidence
from s2s_cli.inference.translation import Candidate, Translation

SHARES = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def translation(text: str, log_prob: float) -> Translation:
    evidence = Evidence(log_probs=[log_prob] * 4, words=[0, 1, 2, -1], source_pieces=4)
    return Translation("x", [Candidate(text, log_prob, [text], evidence=evidence)], ["x"])


def dev(lines: int, seed: int = 1) -> tuple[list[Translation], list[str]]:
    """Translations that are right with the model's probability of a symbol."""
    probabilities = np.random.default_rng(seed).uniform(0.05, 1.0, lines)
    rights = np.random.default_rng(seed + 1).random(lines) < probabilities
    texts = ["a good line" if right else "zzz" for right in rights]
    pairs = zip(texts, probabilities, strict=True)
    return [translation(text, math.log(probability)) for text, probability in pairs], ["a good line"] * lines


def test_confidence_is_the_share_of_good_lines():
    found = calibrate(*dev(3000))
    assert found is not None and found.chrf == 50.0
    for probability in (0.2, 0.5, 0.9):
        evidence = translation("", math.log(probability)).n_best[0].evidence
        assert confidence(found, evidence) == pytest.approx(probability, abs=0.06)


def test_a_calibration_is_read_as_it_was_written():
    found = calibrate(*dev(200))
    assert found is not None
    assert Confidence.read(json.loads(json.dumps(found.values()))) == found


def test_blank_lines_have_no_part_in_it():
    translations, references = dev(150)
    assert calibrate([*translations, Translation(" ")], [*references, "a"]) == calibrate(translations, references)


def test_the_median_is_the_bar_where_nearly_all_lines_are_better():
    translations, _ = dev(200)
    better = [translation("a good line" + "s" * (place % 2), -0.1 * (place % 2)) for place in range(200)]
    found = calibrate(better, ["a good line"] * 200)
    assert found is not None and found.chrf > 80
    assert calibrate(translations, ["a good line"] * 200) is not None


def test_nothing_is_fitted_to_too_few_lines_or_to_lines_that_are_all_as_good():
    assert calibrate(*dev(calibration.LEAST_LINES - 1)) is None
    assert calibrate([translation("same", -0.1 * n) for n in range(200)], ["same"] * 200) is None
    assert calibrate([], []) is None


@pytest.mark.parametrize("spread", [0.0, 1e-9, 1e-7, 1e-5, 1e-3])
def test_where_the_model_says_nearly_the_same_of_all_lines_the_weights_keep_within_bounds(spread: float):
    texts = ["a good line", "zzz"] * 100
    translations = [translation(text, -1.0 - spread * (place % 7)) for place, text in enumerate(texts)]
    found = calibrate(translations, ["a good line"] * 200)
    assert found is None or Confidence.read(json.loads(json.dumps(found.values()))) == found


@given(st.integers(0, 1000), st.integers(1, 3))
def test_logistic_regression_has_no_slope_at_its_end(seed: int, width: int):
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(60, width)) * [1.0, 5.0, 0.1][:width] + 3.0
    good = generator.random(60) < 1 / (1 + np.exp(-(inputs[:, 0] - 3.0)))
    good[:2] = True, False
    bias, weights = logistic_regression(inputs, good)
    missing = good - 1 / (1 + np.exp(-(bias + inputs @ weights)))
    slope = missing @ ((inputs - inputs.mean(axis=0)) / inputs.std(axis=0)) - weights * inputs.std(axis=0)
    np.testing.assert_allclose([missing.sum(), *slope], 0.0, atol=1e-6)


def test_ridge_regression_finds_the_weights_of_a_sum_and_none_for_what_never_varies():
    inputs = np.random.default_rng(1).normal(size=(20_000, 2))
    found = ridge_regression(np.column_stack([inputs, np.full(20_000, 7.0)]), 5.0 + inputs @ [3.0, -2.0])
    np.testing.assert_allclose(found, [3.0, -2.0, 0.0], atol=0.01)


def test_chrf_is_that_of_sacrebleu():
    pairs = [("a cat", "the cat"), ("", "a"), ("same", "same")]
    expected = [CHRF().sentence_score(text, [reference]).score for text, reference in pairs]
    assert sentence_chrf(*zip(*pairs, strict=True)).tolist() == expected


@given(SHARES)
def test_the_calibration_error_is_that_of_its_definition(pairs: list[tuple[float, bool]]):
    values, good = np.array([value for value, _ in pairs]), np.array([is_good for _, is_good in pairs])
    expected = 0.0
    for place in range(10):
        inside = [pair for pair in pairs if min(int(pair[0] * 10), 9) == place]
        if inside:
            gap = np.mean([value for value, _ in inside]) - np.mean([is_good for _, is_good in inside])
            expected += abs(gap) * len(inside) / len(pairs)
    assert expected_calibration_error(values, good) == pytest.approx(expected)


def test_the_error_by_chance_shrinks_with_the_lines():
    errors = [chance_error(np.random.default_rng(7).random(lines), draws=20) for lines in (50, 5000)]
    assert errors[0] > 0.05 > 0.02 > errors[1] > 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=8), st.randoms())
def test_the_risk_coverage_area_is_that_of_its_definition_in_any_order(pairs, random):
    trust, risk = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    expected, ordered = [], sorted(set(trust), reverse=True)
    flat = [np.mean(risk[trust == level]) for level in ordered for _ in range(int((trust == level).sum()))]
    expected = np.mean([np.mean(flat[:count]) for count in range(1, len(flat) + 1)])
    assert risk_coverage_area(trust, risk) == pytest.approx(expected)
    random.shuffle(pairs)
    assert risk_coverage_area(*(np.array(column, float) for column in zip(*pairs, strict=True))) == pytest.approx(
        expected
    )
