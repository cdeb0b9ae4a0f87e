"""The long trial of Ray in small."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_nothing_is_lost_or_twice(tools: Any, tmp_path: Path):
    pytest.importorskip("ray")
    tokenizer = CharacterTokenizer("▁abcdefghilnortx0123456789")
    model = tools.export(tmp_path / "model", ("fr", "en"), TokenizerPair(tokenizer, tokenizer), packed=True)
    text = tmp_path / "text"
    text.write_text("".join(f"line {number} of the text, which is rather long\n" for number in range(5000)))
    words = ["--model", str(model), "--text", str(text), "--kills", "4", "--seed", "2", "--folder", str(tmp_path)]
    command = [sys.executable, str(ROOT / "scripts" / "torture_ray.py"), *words]
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4 kills (") and done.stdout.endswith(": 0 faults\n")
