"""The benchmark of the server, on a tiny model: requests that are wrong get answers, and equal texts equal ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair
from scripts.tortures.task import ROOT


@pytest.mark.slow  # starts several servers
def test_what_is_measured_of_a_tiny_model(tools, tmp_path: Path):
    letters = CharacterTokenizer("▁abcdefghijklmnopqrstuvwxyz")
    model = tools.export(tmp_path / "model", ("de", "en"), TokenizerPair(letters, letters), packed=True)
    texts = tmp_path / "texts"
    texts.write_text("".join(f"{'ja ' * (1 + number % 12)}{chr(97 + number)}\n" for number in range(20)))
    words = ["--model", model, "--texts", texts, "--workers", "1", "--requests", "60"]
    wanted = ["equal", "malformed", "stop", "latency"]
    command = [sys.executable, ROOT / "scripts" / "bench_serve.py", *words, "--only", *wanted]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[2:]
    assert "20 of 20 equal" in rows[0]
    assert "0 answers of 5xx, 0 hangs" in rows[1]
    assert "0 of them by errors" in rows[2] and "with 143" in rows[2]
    assert len(rows) == len(wanted)
