"""Confidence fitted to what translations are worth, and how well it then fits others.

Worth is the chrF of a line. It is predicted from the figures of the search (`s2s_cli.inference.confidence`) by ridge
regression, which learns from every line how good it is, and the prediction is turned into the probability of a good
line by logistic regression (Platt 1999, "Probabilistic Outputs for Support Vector Machines"). Both together are one
logistic function of the figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from s2s_cli.checkpoint.model_directory import Confidence
from s2s_cli.forms import FormError
from s2s_cli.inference.confidence import Evidence, Figures, figures
from s2s_cli.inference.translation import Translation

GOOD = 50.0
"""chrF of a good line ..."""
LEAST_SHARE = 0.1
"""... or the median of dev, if less than this share of its lines are better, or worse."""
LEAST_LINES = 100
"""Of dev: with fewer, the weights follow chance."""
RIDGE = 10.0  # λ of the first regression, whose inputs have variance 1: a weight counts as little as 10 lines
PENALTY = 1.0  # λ of the second: a weight w costs λ w² / 2 nats
CONSTANT = 1e-6  # deviation, relative to the mean, below which float32 only rounds
STEPS = 50  # of Newton's method; it needs about six


def calibrate(translations: Sequence[Translation], references: Sequence[str]) -> Confidence | None:
    """The confidence that fits the translations of dev; `None` if there are too few, or all are as good or alike."""
    # A blank line has no candidate: the model says nothing of it.
    pairs = [pair for pair in zip(translations, references, strict=True) if pair[0].n_best]
    if len(pairs) < LEAST_LINES:
        return None
    chrf_N = sentence_chrf([translation.text for translation, _ in pairs], [reference for _, reference in pairs])
    threshold = GOOD
    if not LEAST_SHARE <= (chrf_N >= GOOD).mean() <= 1 - LEAST_SHARE:
        threshold = round(float(np.median(chrf_N)), 1)
    good_N = chrf_N >= threshold
    if good_N.all() or not good_N.any():
        return None
    figures_NF = figures_of([translation.n_best[0].evidence for translation, _ in pairs])
    weights_F = ridge_regression(figures_NF, chrf_N)
    bias, slope_1 = logistic_regression((figures_NF @ weights_F)[:, None], good_N)
    weights = dict(zip(Figures._fields, (weights_F * slope_1).tolist(), strict=True))
    try:
        return Confidence(chrf=threshold, bias=bias, **weights)
    except FormError:  # weights beyond all bounds: what the model says of its translations hardly varies
        return None


def figures_of(evidence: Sequence[Evidence]) -> np.ndarray:
    """[N, F] float64."""
    return np.array([figures(each) for each in evidence], dtype=np.float64)


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """sacreBLEU's chrF2 of each line, 0 to 100: [N]."""
    from sacrebleu.metrics.chrf import CHRF

    metric = CHRF()
    pairs = zip(hypotheses, references, strict=True)
    return np.array([metric.sentence_score(hypothesis, [reference]).score for hypothesis, reference in pairs])


def ridge_regression(inputs_NF: np.ndarray, values_N: np.ndarray) -> np.ndarray:
    """The weights [F] of the inputs that predict the values, up to a constant, with least squared error and penalty."""
    inputs_NF, scale_F = _standardised(inputs_NF)
    square_FF = inputs_NF.T @ inputs_NF + RIDGE * np.eye(len(scale_F))
    return np.linalg.solve(square_FF, inputs_NF.T @ (values_N - values_N.mean())) / scale_F


def logistic_regression(inputs_NF: np.ndarray, good_N: np.ndarray) -> tuple[float, np.ndarray]:
    """The bias and the weights [F] that make the outcomes most probable, with a penalty on the weights.

    By iteratively reweighted least squares, which is Newton's method (Bishop 2006, "Pattern Recognition and Machine
    Learning", section 4.3.3).
    """
    standard_NF, scale_F = _standardised(inputs_NF)
    standard_NX = np.concatenate([np.ones((len(good_N), 1)), standard_NF], axis=1)
    penalty_X = np.array([0.0] + [PENALTY] * len(scale_F))
    weights_X = np.zeros_like(penalty_X)
    for _ in range(STEPS):
        p_N = 1.0 / (1.0 + np.exp(-np.clip(standard_NX @ weights_X, -30, 30)))
        gradient_X = standard_NX.T @ (good_N - p_N) - penalty_X * weights_X
        hessian_XX = (standard_NX * (p_N * (1 - p_N))[:, None]).T @ standard_NX + np.diag(penalty_X)
        step_X = np.linalg.solve(hessian_XX, gradient_X)
        weights_X += step_X
        if np.abs(step_X).max() < 1e-9:
            break
    weights_F = weights_X[1:] / scale_F
    return float(weights_X[0] - weights_F @ inputs_NF.mean(axis=0)), weights_F


def _standardised(inputs_NF: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inputs with mean 0 and variance 1, and by what they were divided [F]: inf for what never varies but by
    rounding, whose weight is then 0."""
    mean_F, deviation_F = inputs_NF.mean(axis=0), inputs_NF.std(axis=0)
    scale_F = np.where(deviation_F > CONSTANT * (1.0 + np.abs(mean_F)), deviation_F, np.inf)
    return (inputs_NF - mean_F) / scale_F, scale_F


def expected_calibration_error(confidence_N: np.ndarray, good_N: np.ndarray, bins: int = 10) -> float:
    """Mean distance of confidence and share of good ones over bins of equal width, weighted by their sizes (Naeini et
    al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian Binning")."""
    bin_N = np.minimum((confidence_N * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_N, confidence_N, bins) - np.bincount(bin_N, good_N.astype(np.float64), bins)
    return float(np.abs(gaps).sum() / len(good_N))


def risk_coverage_area(trust_N: np.ndarray, risk_N: np.ndarray) -> float:
    """Mean over all coverages k / N of the mean risk of the k lines that are trusted most (Geifman et al. 2019,
    "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers"); less is better.

    Lines that are trusted equally count with their mean risk, whatever their order.
    """
    _, group_N = np.unique(-trust_N, return_inverse=True)
    mean_risk_N = (np.bincount(group_N, risk_N) / np.bincount(group_N))[group_N]
    ordered_N = mean_risk_N[np.argsort(-trust_N, kind="stable")]
    return float((np.cumsum(ordered_N) / np.arange(1, len(ordered_N) + 1)).mean())


def chance_error(confidence_N: np.ndarray, draws: int = 200, seed: int = 1) -> float:
    """The mean calibration error of lines that are good exactly as probably as the confidence says: what is left by
    chance, since there are only so many lines."""
    generator = np.random.default_rng(seed)
    outcomes = (generator.random(len(confidence_N)) < confidence_N for _ in range(draws))
    return float(np.mean([expected_calibration_error(confidence_N, good_N) for good_N in outcomes]))
