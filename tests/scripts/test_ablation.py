"""The table of an ablation, of runs whose figures are known, and one that is really trained."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from scripts import ablation

TINY = ("training.updates=2", "validation.every=1", "validation.max_pairs=3", "training.threads=1")
SMALL = ("embedding=4", "encoder.hidden=4", "decoder.hidden=4", "attention.size=4")


def finished(run: Path, bleu: list[float]) -> None:
    (run / "model").mkdir(parents=True)
    (run / "model" / "manifest.json").write_text("{}")
    figures = {"kind": "validation", "loss": 2.0, "chrf": 50.0, "seconds": 60.0}
    lines = [figures | {"bleu": value, "best": value == max(bleu)} for value in bleu]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_mean_and_deviation_of_the_best_validations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, bleu in enumerate([[10.0, 20.0, 15.0], [22.0], [1.0, 24.0]], 1):
        finished(ablation.folder_of("quickstart", "base", seed), bleu)
    ablation.folder_of("quickstart", "base", 4).mkdir()  # not finished
    finished(ablation.folder_of("quickstart", "both", 1), [30.0])
    monkeypatch.setattr(ablation, "ensemble_bleu", lambda runs: f"{len(runs)} models")
    base, both = list(ablation.table("quickstart"))[2:]
    assert base == "| base | 3 | 2.000 ± 0.000 | 22.00 ± 2.00 | 50.00 ± 0.00 | 2.0 ± 1.0 | 3 models |"
    assert both == "| both | 1 | 2.000 | 30.00 | 50.00 | 1.0 |  |"


@pytest.mark.slow
def test_a_row_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    keys = [*TINY, *(f"model.{key}" for key in SMALL)]
    options = [word for key in keys for word in ("--set", key)]
    seeds = ["--seed", "7", "--seed", "8"]
    monkeypatch.setattr(sys, "argv", ["ablation.py", "quickstart", "--row", "both", *seeds, *options])
    ablation.main()
    assert re.search(r"\| both \| 2 \|.* \d+\.\d\d \|$", capsys.readouterr().out, re.MULTILINE)
    recipe = (tmp_path / "runs/ablation/quickstart/both-7/recipe.yaml").read_text()
    assert "seed: 7" in recipe and "source_words: 0.1" in recipe
