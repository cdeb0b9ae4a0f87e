"""Commands on a recipe whose corpus a model has yet to write: killed, tried, trained."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
from digits import content, finish, start_training, steps, write_task
from starts import PATIENCE, Started

from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.data.preparation import prepare
from s2s_cli.errors import ExitCode
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.synthesis import corpora, plan
from s2s_cli.text.symbols import WordTokenizer
from s2s_cli.text.tokenizer import TokenizerPair
from s2s_cli.training import dry_run

ENGLISH = "zero one two three four five six seven eight nine".split()
WRITTEN = "{mono: mono.en, side: target, by: back, beam: 1, name: news, tag: <bt>}"
LINES = 400


@pytest.fixture
def recipe(tmp_path: Path, tools) -> Path:
    """Numerals, and others of which a model with random weights is to write the source."""
    path = write_task(tmp_path / "task", pairs=60)
    text = path.read_text().replace("train: [{tsv: train.tsv}]", f"train: [{{tsv: train.tsv}}, {WRITTEN}]")
    path.write_text(text.replace("cleaning: {", "cleaning: {max_length_ratio: null, "))
    lines = (" ".join(ENGLISH[(i * k) % 10] for k in range(1, 2 + i % 6)) + "\n" for i in range(LINES))
    (path.parent / "mono.en").write_text("".join(lines))
    words = WordTokenizer([*ENGLISH, *"zéro un deux trois quatre cinq sept huit neuf".split()])
    tools.export(path.parent / "back", ("en", "fr"), TokenizerPair(words, words))
    return path


def small_shards() -> None:
    plan.SHARD = 4  # so many that whoever watches is in time


def prep(recipe: Path, run: Path) -> Started:
    threads = ("--set", "training.threads=1")
    return Started("prep", recipe, "--run", run, *threads, before=small_shards, forked=True)


def is_over(process: str) -> bool:
    """Whether it is gone, or waits for its parent to take note of its end."""
    try:
        return "\nState:\tZ" in Path("/proc", process, "status").read_text()
    except OSError:
        return True


def test_a_killed_preparation_goes_on_where_it_stopped(recipe: Path, tmp_path: Path, monkeypatch):
    whole, run = tmp_path / "whole", tmp_path / "run"
    monkeypatch.setattr(corpora, "apart", lambda work, fresh: work())
    values = load_recipe(recipe)
    prepare(values, recipe.parent, whole, written=corpora.written_corpora(values, recipe.parent, whole))
    with prep(recipe, run) as killed:
        while not any(run.glob("synthesis/*.unfinished/*.txt")):
            assert killed.poll() is None
            time.sleep(0.001)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    done = prep(recipe, run).finish()
    assert done.code == 0, done.messages
    left = re.search(rb"news: back writes the source of 400 lines \(the (\d+) that are left\)", done.messages)
    assert left is not None and 0 < int(left[1]) < LINES, done.messages
    [ours], [theirs] = run.glob("synthesis/*"), whole.glob("synthesis/*")
    assert ours.name == theirs.name and content(ours) == content(theirs)
    assert content(run / "data" / "train") == content(whole / "data" / "train")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_a_signal_ends_it_and_its_workers(recipe: Path, tmp_path: Path, number: signal.Signals, code: int):
    with prep(recipe, tmp_path / "run") as running:
        while not any((tmp_path / "run").glob("synthesis/*.unfinished/*.txt")):
            assert running.poll() is None
            time.sleep(0.001)
        tasks = Path("/proc", str(running.pid), "task").glob("*/children")
        children = [child for task in tasks for child in task.read_text().split()]
        running.send_signal(number)
        done = running.finish()
    assert done.code == code and done.messages.count(b"\n") == 2, done.messages
    assert children
    deadline = time.monotonic() + PATIENCE
    while not all(map(is_over, children)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_dry_run_tries_a_sample_and_leaves_nothing(recipe: Path, tmp_path: Path, monkeypatch, capfd):
    monkeypatch.setattr(corpora, "apart", lambda work, fresh: work())
    monkeypatch.setattr("s2s_cli.synthesis.writing.SECONDS", 0.0)
    monkeypatch.setattr(dry_run, "SECONDS", 0.1)
    pairs: list[int] = []
    tell = dry_run.tell_duration
    monkeypatch.setattr(dry_run, "tell_duration", lambda *values: pairs.append(values[2]) or tell(*values))
    run = RunDirectory(tmp_path / "run")
    values = load_recipe(recipe, ["data.train.1.weight=2.0"])
    dry_run.dry_run(values, recipe.parent, run, try_corpora=corpora.tried_corpora)
    told = capfd.readouterr().err
    assert "news: writing the source of 400 lines will take about" in told
    assert "this dry run goes on with 31 of them" in told and "- news: 31 pairs read, 31 kept" in told
    assert "all checks passed" in told
    assert pairs == [60 + 2 * LINES]
    assert os.listdir(run.root) == ["lock"]


def test_training_writes_the_corpus_and_learns_from_it(recipe: Path, tmp_path: Path):
    run = tmp_path / "run"
    code, messages = finish(start_training(recipe, run, "training.updates=3"))
    assert code == ExitCode.DONE, messages
    assert "- news: 400 pairs read, 400 kept" in messages and steps(run)[-1] == 3
    kept = (run / "recipe.yaml").read_text()
    assert "by: back" in kept
    os.rename(run, tmp_path / "moved")
    code, messages = finish(start_training(tmp_path / "moved" / "recipe.yaml", tmp_path / "moved"))
    assert code == ExitCode.DONE and "data is up to date" in messages, messages
    assert "writes the source" not in messages
