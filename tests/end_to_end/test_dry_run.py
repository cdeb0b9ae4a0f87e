"""`s2s train --dry-run`: what it reports, what it refuses, and that it leaves nothing but prepared data."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from digits import content, finish, start_training, steps, train_here, write_task

from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.errors import DataError, ExitCode, MachineError, UsageError
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.training import dry_run


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dry_run, "SECONDS", 0.3)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"), pairs=60)


def try_here(recipe: Path, run: Path, *overrides: str) -> None:
    dry_run.dry_run(load_recipe(recipe, overrides), recipe.parent, RunDirectory(run))


def hurry_there() -> None:
    """Where the process is forked; a new Python takes its time."""
    dry_run.SECONDS = 0.3


def test_as_a_process_it_reports_in_a_few_lines_and_leaves_the_data_alone(recipe: Path, tmp_path: Path):
    process = start_training(recipe, tmp_path / "run", dry=True, before=hurry_there)
    code, messages = finish(process)
    assert code == ExitCode.DONE, messages
    topics = [line.partition(":")[0] for line in messages.splitlines()]
    assert topics[-7:] == ["learning", "model", "memory", "disk", "speed", "duration", "digits"]
    assert sorted(os.listdir(tmp_path / "run")) == ["data", "lock"]


def test_the_training_that_follows_takes_the_data_as_it_is(recipe: Path, tmp_path: Path, capfd):
    try_here(recipe, tmp_path / "run")
    capfd.readouterr()
    train_here(recipe, tmp_path / "run", "training.updates=3")
    assert "data is up to date" in capfd.readouterr().err
    assert steps(tmp_path / "run") == [3]


def test_what_a_killed_one_left_is_removed_by_the_training(recipe: Path, tmp_path: Path):
    left = tmp_path / "run" / ".dry-run" / "data"
    left.mkdir(parents=True)
    train_here(recipe, tmp_path / "run", "training.updates=1")
    assert not left.parent.exists()


def test_a_run_that_has_begun_is_not_touched(recipe: Path, tmp_path: Path):
    run = tmp_path / "run"
    train_here(recipe, run, "training.updates=3")
    before = {path: content(path) for path in (run / "checkpoints/step-3", run / "model")}
    log, resolved = (run / "metrics.jsonl").read_bytes(), (run / "recipe.yaml").read_bytes()
    try_here(recipe, run)
    assert {path: content(path) for path in before} == before
    assert (steps(run), (run / "metrics.jsonl").read_bytes()) == ([3], log)
    assert (run / "recipe.yaml").read_bytes() == resolved


def test_the_first_bad_line_of_a_corpus_is_named(recipe: Path, tmp_path: Path):
    task = Path(shutil.copytree(recipe.parent, tmp_path / "task"))
    lines = (task / "train.tsv").read_bytes().split(b"\n")
    (task / "train.tsv").write_bytes(b"\n".join([*lines[:41], b"un\xff\tone", *lines[41:]]))
    with pytest.raises(DataError, match=r"train\.tsv:42: byte 0xff is not UTF-8"):
        try_here(task / "recipe.yaml", tmp_path / "run")
    assert os.listdir(tmp_path / "run") == ["lock"]


@pytest.mark.parametrize("rate", ["1e-9", "1e-6", "1e3"])
def test_a_loss_that_does_not_fall_is_a_fault_of_the_recipe(rate: str, recipe: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"training\.learning_rate: the loss of one batch does not fall: from [23]"):
        try_here(recipe, tmp_path / "run", f"training.learning_rate={rate}")


@pytest.mark.parametrize("candidates", ["sample", "beam"])
def test_minimum_risk_learns_too(candidates: str, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    objective = f"{{kind: minimum_risk, from: {candidates}, candidates: 3}}"
    try_here(recipe, tmp_path / "run", f"training.objective={objective}")
    assert "learning: the loss of one batch fell from" in capfd.readouterr().err


def test_the_verdict_does_not_depend_on_the_speed_of_the_machine(recipe: Path, tmp_path: Path, monkeypatch, capfd):
    said = []
    for seconds in (0.0, 1.0):
        monkeypatch.setattr(dry_run, "SECONDS", seconds)
        try_here(recipe, tmp_path / "run", "model.dropout={embedding: 0.5, state: 0.5, readout: 0.5}")
        said += re.findall("learning: the loss of one batch fell .*", capfd.readouterr().err)
    assert len(said) == 2
    assert said[0] == said[1]


def test_too_small_a_disk_is_told_before_the_training(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10_000))
    with pytest.raises(MachineError, match=r"run: the run needs .* MB, and 0 MB are free \(free some space"):
        try_here(recipe, tmp_path / "run")


def test_unknown_tokens_of_dev_are_told(recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    try_here(recipe, tmp_path / "run", "tokenizer.vocabulary=8")
    assert "% of the source tokens of dev are unknown" in capfd.readouterr().err


def test_the_estimate_follows_from_what_was_timed(recipe: Path, capfd: pytest.CaptureFixture[str]):
    values = load_recipe(recipe, ["training.epochs=10", "validation.every=50"])
    speed = dry_run.Speed(pairs=1_000, tokens=8_000, seconds=4.0)
    dry_run.tell_duration(values, speed, pairs=30_000, batches=600, validation=9.0)
    told = capfd.readouterr().err
    assert "2,000 target tokens/s; an epoch of about 600 updates takes 2 min, a validation at most 9.0 s" in told
    assert "at most 38 min; updates: 6,000; validations: 120" in told  # 1,200 s and 1,080 s


@pytest.mark.parametrize("accumulate", [pytest.param(1, marks=pytest.mark.slow), 3, 100_000])
def test_it_tells_as_many_updates_as_training_makes(
    accumulate: int, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(dry_run, "SECONDS", 0.0)
    settings = [f"training.accumulate={accumulate}", "training.epochs=3", "validation.every=null"]
    try_here(recipe, tmp_path / "run", *settings)
    [told] = re.findall("duration: at most .*; updates: (.*); validations: 3$", capfd.readouterr().err, re.MULTILINE)
    train_here(recipe, tmp_path / "run", *settings)
    assert steps(tmp_path / "run")[-1] == int(told)
