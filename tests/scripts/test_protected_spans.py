"""Spans are put into text, found in catalogues, and counted after translation."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

from s2s_cli.text.codes import Code
from s2s_cli.text.protected import Finder
from scripts import protected_spans

ROOT = Path(__file__).parents[2]


def test_tagged_lines_have_spans_that_are_found_and_nested() -> None:
    lines = [protected_spans.tagged("one two three four five six.", 0.5, Random(seed)) for seed in range(30)]
    spans = [part for line in lines for part in Finder().parts(line) if isinstance(part, Code)]
    assert len(spans) > 60
    assert all(protected_spans.checked(line, line)["nested_kept"] for line in lines)
    assert lines == [protected_spans.tagged("one two three four five six.", 0.5, Random(seed)) for seed in range(30)]


def test_losses_repetitions_and_crossings_are_counted() -> None:
    checked = protected_spans.checked
    assert checked("a %s <b>c</b>", "%s <b>C</b> A") == Counter(lines=1, spans=3, kept=3, nested=1, nested_kept=1)
    assert checked("a %s", "A")["kept"] == 0
    assert checked("a %s", "%s A %s")["kept"] == 0
    assert not checked("<b>a</b> <i>b</i>", "<b><i>a</b></i>")["nested_kept"]


def test_the_command_line_tells_of_losses(tmp_path: Path) -> None:
    source, translation = tmp_path / "source", tmp_path / "translation"
    source.write_text("a %s\nb\n")
    for text, status in (("%s A\nB\n", 0), ("A\nB\n", 1)):
        translation.write_text(text)
        command = [sys.executable, str(ROOT / "scripts/protected_spans.py"), "check", str(source), str(translation)]
        assert subprocess.run(command, check=False, capture_output=True).returncode == status
