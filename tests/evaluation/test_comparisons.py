"""Significance and break-down, against the `sacrebleu` command and against the parts scored alone."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from s2s_cli.errors import DataError
from s2s_cli.evaluation.breakdown import score_by_length
from s2s_cli.evaluation.metrics import score
from s2s_cli.evaluation.significance import paired_bootstrap

WORDS = ["the", "a", "man", "woman", "dog", "runs", "sees", "sleeps", "red", "under", "over", "house", "garden"]


def noisy(lines: list[str], share: float, seed: int) -> list[str]:
    generator = random.Random(seed)
    return [
        " ".join(generator.choice(WORDS) if generator.random() < share else word for word in line.split())
        for line in lines
    ]


REFERENCES = [" ".join(random.Random(seed).choices(WORDS, k=5 + seed % 12)) for seed in range(60)]
BASELINE, SYSTEM = noisy(REFERENCES, 0.4, 1), noisy(REFERENCES, 0.2, 2)


def test_paired_bootstrap_is_that_of_the_command(tmp_path):
    for name, lines in [("reference", REFERENCES), ("baseline", BASELINE), ("system", SYSTEM)]:
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines))
    arguments = ["reference", "-i", "baseline", "system", "-m", "bleu", "chrf", "--paired-bs", "--paired-bs-n", "200"]
    command = [sys.executable, "-m", "sacrebleu", *arguments, "-w", "4", "--format", "latex"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    settings = {"metrics": ["bleu", "chrf"], "language": "en", "resamples": 200}
    for found in paired_bootstrap(BASELINE, SYSTEM, [REFERENCES], **settings):
        assert f" {found.baseline:.4f} (" in done.stdout
        figures = f" {found.system:.4f} ({found.mean:.4f} ± {found.margin:.4f}) (p = {found.p_value:.4f})*"
        assert figures in done.stdout
        assert found.signature in done.stdout
        assert found.p_value < 0.05


def test_a_system_does_not_differ_from_itself():
    same = paired_bootstrap(SYSTEM, SYSTEM, [REFERENCES], metrics=["chrf"], language="en", resamples=100)
    assert same[0].p_value == 1.0


def test_buckets_hold_each_sentence_once():
    lengths = [len(line.split()) for line in REFERENCES]
    settings = {"metric": "chrf", "language": "en", "resamples": 100}
    buckets = score_by_length(SYSTEM, [REFERENCES], lengths, edges=[4, 8, 12], **settings)
    assert [(bucket.shortest, bucket.longest) for bucket in buckets] == [(5, 8), (9, 12), (13, 16)]
    assert sum(bucket.sentences for bucket in buckets) == len(REFERENCES)
    for bucket in buckets:
        inside = [bucket.shortest <= length <= bucket.longest for length in lengths]
        part = [[line for line, kept in zip(side, inside, strict=True) if kept] for side in (SYSTEM, REFERENCES)]
        assert bucket.value == score(part[0], [part[1]], ["chrf"], "en")[0].value
        assert abs(bucket.value - bucket.mean) < bucket.margin < 20.0
        assert "bs:100" in bucket.signature


def test_lengths_must_fit():
    with pytest.raises(DataError, match="1 and 2"):
        score_by_length(["x", "y"], [["x", "y"]], [1], edges=[5], metric="bleu", language="en")
