"""What a start does not wait for: modules that a command does without are not imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from starts import ENVIRONMENT

from s2s_cli.native import library
from s2s_cli.text.symbols import WordTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

ALWAYS = "torch matplotlib pydantic click rich yaml tqdm safetensors asyncio ray pyarrow s2s_cli.bulk".split()
PROCESSES_AND_NETWORKS = "multiprocessing concurrent socket ssl http".split()
WHERE_NOTHING_IS_SCORED = [*ALWAYS, *PROCESSES_AND_NETWORKS, "sacrebleu", "regex", "secrets"]
FOR_HELP = [*WHERE_NOTHING_IS_SCORED, *"numpy sentencepiece hashlib json".split()]
NOT_OF_PLAIN_LINES = (
    "documents.document inference.demands inference.protection inference.tagging inference.memory text.glossary".split()
)
OTHER_COMMANDS = ["s2s_cli.cli.prep", "s2s_cli.cli.train", "s2s_cli.cli.evaluate"]
WITHOUT = {
    "--version": [*FOR_HELP, "s2s_cli.cli.translate", "s2s_cli.cli.options"],
    "--help": FOR_HELP,
    "translate --help": [*FOR_HELP, *OTHER_COMMANDS],
    "train --help": [*FOR_HELP, "s2s_cli.cli.translate", "s2s_cli.cli.evaluate"],
    "serve --help": [*FOR_HELP, *OTHER_COMMANDS, "starlette", "uvicorn"],
    "translate --model model": [
        *(*WHERE_NOTHING_IS_SCORED, *OTHER_COMMANDS, "s2s_cli.training", "s2s_cli.model"),
        *(f"s2s_cli.{name}" for name in NOT_OF_PLAIN_LINES),
    ],
    "translate --model model --json --n-best 2": WHERE_NOTHING_IS_SCORED,
    "translate --model model text": WHERE_NOTHING_IS_SCORED,  # which shows a bar, if anybody watches
    "evaluate --hypothesis text --reference text": [*ALWAYS, "sentencepiece", "s2s_cli.inference"],
}
"""By command line, the modules that it does without."""


@pytest.fixture(scope="module")
def folder(tools, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a model and a text."""
    library.load()  # compiled, if need be, before anybody counts
    folder = tmp_path_factory.mktemp("imports")
    tokenizer = WordTokenizer(["some", "words"])
    tools.export(folder / "model", ("fr", "en"), TokenizerPair(tokenizer, tokenizer), packed=True)
    (folder / "text").write_text("some words\n")
    return folder


def imported(words: str, folder: Path, code: int = 0) -> set[str]:
    """All modules that `s2s WORDS` imports, and the packages in which they are. code: with which it ends."""
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "s2s_cli", *words.split()],
        input=b"some words\n",
        capture_output=True,
        cwd=folder,
        env=os.environ | ENVIRONMENT,
        timeout=600,
    )
    assert process.returncode == code and (process.stdout or code), process.stderr
    return set(re.findall(r"^import time: .* \| *(\S+)$", process.stderr.decode(), re.MULTILINE))


def test_serving_imports_no_torch(folder: Path):
    taken = "serve --model model --workers 1 --host 192.0.2.1"  # an address of nobody (RFC 5737): all else is loaded
    modules = imported(taken, folder, code=1)
    assert "s2s_cli.serving.app" in modules
    assert modules & {"torch", "matplotlib", "pydantic", "yaml", "sacrebleu", "py3langid"} == set()


@pytest.mark.parametrize("words", WITHOUT)
def test_a_command_imports_only_what_it_needs(words: str, folder: Path):
    assert imported(words, folder) & set(WITHOUT[words]) == set()
