"""The figures of the studies, on models whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from s2s_cli.inference.translation import Scored
from scripts import accent_study, name_study


class Reader:
    """Finds a verse likely that begins like its name: 1 nat a character, otherwise 2."""

    def score(self, sources, targets, *, batch_tokens=None):
        return [
            Scored(log_prob=-len(text) * (1.0 if text[0] == name[0] else 2.0), tokens=len(text))
            for name, text in zip(sources, targets, strict=True)
        ]


NAMES = ["Job", "Acts", "Job", "Acts"]
VERSES = ["Job answered", "Agrippa said", "Just are they", "Job was no more"]


def test_loss_with_right_and_wrong_names():
    losses = name_study.measure(Reader(), NAMES, VERSES)
    lengths = np.array([len(verse) for verse in VERSES], float)
    np.testing.assert_array_equal(losses.tokens_V, lengths)
    np.testing.assert_allclose(losses.right_V, lengths * [1, 1, 1, 2])
    np.testing.assert_allclose(losses.wrong_V, lengths * [2, 2, 2, 1])
    assert losses.named_V.tolist() == [True, True, True, False]
    assert "75.0 [" in name_study.report(losses)
    job, acts = name_study.report_by_name(losses, NAMES).splitlines()[1:]
    assert job.split() == ["Job", "2", "1.000", "2.000", "+1.000"]
    assert acts.split()[:2] == ["Acts", "2"]


def test_the_interval_covers_the_ratio_and_narrows():
    random = np.random.default_rng(0)
    counts = random.integers(5, 40, 900)
    sums = counts * random.normal(0.5, 0.2, 900)
    low, high = name_study.interval(sums, counts)
    few_low, few_high = name_study.interval(sums[:90], counts[:90])
    assert low < sums.sum() / counts.sum() < high
    assert 2.0 < (few_high - few_low) / (high - low) < 5.0


def test_accents_right_and_wrong():
    sources, references = ["el ano", "dijo el"], ["el año", "dijo él"]
    nothing = accent_study.measure(sources, sources, references)
    assert nothing == pytest.approx([11 / 13, 5 / 7, 0.0, 1.0])
    outputs = ["el año", "dijó éll"]
    assert accent_study.measure(sources, outputs, references) == pytest.approx([12 / 13, 6 / 7, 0.5, 0.5])
    assert accent_study.measure(sources, ["", "dijo él"], references)[:2] == pytest.approx([7 / 13, 3 / 7])
