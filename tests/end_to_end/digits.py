"""A tiny task for whole training runs: numerals, word by word, from French into English; and how runs compare."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.training.run import train

FRENCH = "zéro un deux trois quatre cinq six sept huit neuf".split()
ENGLISH = "zero one two three four five six seven eight nine".split()
ROOT = Path(__file__).parents[2]
TIMES = {"seconds", "tokens_per_second"}

RECIPE = """\
name: digits
languages: {source: fr, target: en}
data:
  train: [{tsv: train.tsv}]
  dev: [{tsv: dev.tsv}]
  test: [{name: held-out, tsv: test.tsv}]
  cleaning: {deduplicate: false, drop_overlap: false, drop_identical: false}
tokenizer: {kind: word, vocabulary: 20, joint: false}
model:
  embedding: 16
  encoder: {hidden: 8}
  decoder: {hidden: 16}
  attention: {size: 16}
training:
  batch_tokens: 60
  learning_rate: 2e-2
  warmup: 10
  epochs: 5
  threads: 1
  precision: fp32
  averaging: {decay: 0.9}
  save_every: 7
validation: {every: 20}
decoding: {beam: 2}
"""


def write_task(directory: Path, pairs: int) -> Path:
    """A corpus of so many pairs and its recipe, whose path is returned."""
    directory.mkdir(parents=True, exist_ok=True)
    generator = random.Random(3)
    for name, count in {"train": pairs, "dev": 8, "test": 8}.items():
        lines = (_line([generator.randrange(10) for _ in range(generator.randint(1, 6))]) for _ in range(count))
        (directory / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    recipe = directory / "recipe.yaml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return recipe


def _line(numbers: list[int]) -> str:
    source, target = (" ".join(words[number] for number in numbers) for words in (FRENCH, ENGLISH))
    return f"{source}\t{target}\n"


# ------------------------------------------------------------------------------------------------------------ running


def train_here(recipe: Path, run: Path, *overrides: str) -> None:
    """`s2s train` inside this process."""
    train(load_recipe(recipe, overrides), recipe.parent, RunDirectory(run))


def start_training(
    recipe: Path, run: Path, *overrides: str, dry: bool = False, before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    """`s2s train` as a process of its own, which calls `before` first of all."""
    options = [word for override in overrides for word in ("--set", override)] + ["--dry-run"] * dry
    return subprocess.Popen(
        [sys.executable, "-m", "s2s_cli", "train", str(recipe), "--run", str(run), *options],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "random"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and stderr. Training has nothing to say on stdout."""
    output, messages = process.communicate(timeout=120)
    assert output == ""
    return process.returncode, messages


def signal_at(process: subprocess.Popen[str], run: Path, update: int, number: signal.Signals, delay: float = 0) -> None:
    """Send a signal once a checkpoint of this update or a later one is there, and some seconds have passed."""
    while process.poll() is None and max(steps(run), default=-1) < update:
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(number)


# ---------------------------------------------------------------------------------------------------------- comparing


def steps(run: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in run.glob("checkpoints/step-*"))


def log_of(run: Path) -> list[dict]:
    """metrics.jsonl without what depends on the speed of the machine."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_same_outcome(run: Path, other: Path) -> None:
    """Log, last checkpoint and model are equal to the last bit."""
    assert log_of(run) == log_of(other)
    last = steps(other)[-1]
    assert steps(run)[-1] == last
    for name in (f"checkpoints/step-{last}", "model"):
        ours, theirs = content(run / name), content(other / name)
        assert ours.keys() == theirs.keys()
        assert [file for file in ours if ours[file] != theirs[file]] == []
