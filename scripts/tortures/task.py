"""A tiny task to be tortured, the commands of `s2s` in processes of their own, and what a run leaves behind."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[2]
TIMES = {"seconds", "tokens_per_second"}  # what no two runs have in common
FRENCH = "zéro un deux trois quatre cinq six sept huit neuf".split()
ENGLISH = "zero one two three four five six seven eight nine".split()

RECIPE = Template("""\
name: digits
languages: {source: fr, target: en}
data:
  train: [{tsv: train.tsv}]
  dev: [{tsv: dev.tsv}]
  test: [{name: held-out, tsv: test.tsv}]
  cleaning: {deduplicate: false, drop_overlap: false, drop_identical: false}
tokenizer: {kind: word, vocabulary: 20, joint: false}
model:
  embedding: $width
  encoder: {hidden: $half}
  decoder: {hidden: $width}
  attention: {size: $width}
training:
  batch_tokens: 60
  learning_rate: 2e-2
  warmup: 10
  epochs: $epochs
  threads: 1
  precision: fp32
  kernel: $kernel
  averaging: {decay: 0.9}
  save_every: $save_every
validation: {every: 20}
decoding: {beam: 2}
""")

NOISE = (
    "tokenizer={kind: sentencepiece, vocabulary: 45, joint: true}",
    "training.subword_sampling={source: 0.3, target: 0.5}",
    "model.dropout.source_words=0.1",
    "model.dropout.target_words=0.2",
    "training.objective.kind=r_drop",
)
"""All noise that training knows, as overrides of the recipe."""


def write_task(
    directory: Path, pairs: int, *, width: int = 8, epochs: int = 4, save_every: int = 3, kernel: str = "reference"
) -> Path:
    """Numerals from French into English, so many pairs of them; the recipe, whose path is returned."""
    directory.mkdir(parents=True, exist_ok=True)
    chance = random.Random(3)
    for name, count in {"train": pairs, "dev": 8, "test": 8}.items():
        lines = (_line([chance.randrange(10) for _ in range(chance.randint(1, 6))]) for _ in range(count))
        (directory / f"{name}.tsv").write_text("".join(lines), encoding="utf-8")
    recipe = directory / "recipe.yaml"
    text = RECIPE.substitute(width=width, half=width // 2, epochs=epochs, save_every=save_every, kernel=kernel)
    recipe.write_text(text, encoding="utf-8")
    return recipe


def _line(numbers: list[int]) -> str:
    source, target = (" ".join(words[number] for number in numbers) for words in (FRENCH, ENGLISH))
    return f"{source}\t{target}\n"


# ----------------------------------------------------------------------------------------------------------- processes


def command(arguments: Sequence[str]) -> int:
    """`s2s ARGUMENTS` inside this process, from its very door; the exit code."""
    from s2s_cli.__main__ import main

    sys.argv = ["s2s", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def start_forked(arguments: Sequence[str], messages: Path) -> int:
    """The id of a new process that runs `s2s ARGUMENTS`. Starting Python and importing torch is spared."""
    child = os.fork()
    return child or _run_and_leave(arguments, messages)


def _run_and_leave(arguments: Sequence[str], messages: Path) -> NoReturn:
    code = 70  # an exit code that `s2s` does not have
    try:
        with messages.open("ab") as log, open(os.devnull, "wb") as nothing:
            os.dup2(log.fileno(), 2)
            os.dup2(nothing.fileno(), 1)
        code = command(arguments)
    finally:
        os._exit(code)


def start_fresh(arguments: Sequence[str], messages: Path) -> int:
    """The same in a new Python, whose hashes of texts are other ones."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random"}
    with messages.open("ab") as log:
        words = [sys.executable, "-m", "s2s_cli", *arguments]
        process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    process.returncode = 0  # it is waited for by its id
    return process.pid


def wait(child: int) -> int:
    """How a process ended: its exit code, or a signal as a negative number."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finish(arguments: Sequence[str], messages: Path) -> None:
    """Run a command that must succeed."""
    if code := wait(start_forked(arguments, messages)):
        raise RuntimeError(f"s2s {' '.join(arguments)}: exit code {code}, see {messages}")


# ------------------------------------------------------------------------------------------------------------- outcome


def log_of(run: Path) -> list[dict]:
    """metrics.jsonl without what depends on the speed of the machine."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_bytes().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def outcome(run: Path) -> dict[str, object]:
    """All that two equal runs have in common: the log without times, the last checkpoint, the model; every bit."""
    last = max(run.glob("checkpoints/step-*"), key=lambda path: int(path.name.removeprefix("step-")))
    files = {
        str(path.relative_to(run)): path.read_bytes() for folder in (last, run / "model") for path in folder.iterdir()
    }
    return {"metrics.jsonl": log_of(run), **files}
