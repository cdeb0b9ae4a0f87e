"""Both sides are timed, and train the same weights."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from s2s_cli.data.preparation import prepare
from s2s_cli.recipe.loading import load_recipe
from scripts import bench_team

RECIPE = """\
name: letters
languages: {source: fr, target: en}
data: {train: [{tsv: pairs.tsv}], dev: [{tsv: pairs.tsv}], cleaning: {drop_overlap: false}}
tokenizer: {kind: character}
model: {embedding: 8, encoder: {hidden: 8}, decoder: {hidden: 8}, attention: {size: 8}, dropout: {state: 0.2}}
training: {batch_sentences: 5}
"""


def test_a_round_has_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "pairs.tsv").write_text("".join(f"{'ab' * number}\t{'cd' * number}\n" for number in range(1, 20)))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    run = tmp_path / "run"
    prepare(load_recipe(tmp_path / "recipe.yaml"), tmp_path, run)
    capsys.readouterr()
    monkeypatch.setattr(bench_team, "WARM_UP", 1)
    monkeypatch.setattr(sys, "argv", f"bench {tmp_path}/recipe.yaml --run {run} --updates 2 --rounds 2".split())
    bench_team.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all(re.fullmatch(r"processes \d+\.\d ms  threads \d+\.\d ms", line) for line in lines)
