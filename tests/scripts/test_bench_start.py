"""The benchmark of the start: programs are timed, steps add up, and imports are counted by package."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from s2s_cli.errors import MachineError
from s2s_cli.text.symbols import WordTokenizer
from s2s_cli.text.tokenizer import TokenizerPair
from scripts import bench_start
from scripts.bench.start_steps import STEPS, Timeline

ANSWER = "import sys, time; print(sys.stdin.read(), end='', flush=True); time.sleep(0.2)"


def cells(table: str) -> list[list[str]]:
    """The rows of a table, without its header."""
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:]]


def test_the_first_byte_comes_before_the_end():
    answered, ended = bench_start.timed([sys.executable, "-c", ANSWER], b"words\n")
    assert 0 < answered < ended - 0.1


@pytest.mark.parametrize("program", ["raise SystemExit('it broke')", "pass", "print(1); raise SystemExit('it broke')"])
def test_a_program_without_an_answer_is_told(program: str):
    with pytest.raises(MachineError, match="gave no answer: (it broke)?$"):
        bench_start.timed([sys.executable, "-c", program], b"")


def test_steps_inside_others_count_as_themselves_alone():
    timeline = Timeline(time.monotonic_ns())
    inner = timeline.timed("inner", lambda: time.sleep(0.05))
    outer = timeline.timed("outer", lambda: (inner(), time.sleep(0.02)))
    outer()
    timeline.note()
    assert timeline.spent["inner"] >= 50_000_000 > timeline.spent["outer"] >= 20_000_000
    assert timeline.spent.keys() == {"inner", "outer", "command line"}


def test_the_steps_of_a_translation_are_all_timed(tools, tmp_path: Path):
    tokenizer = WordTokenizer(["some", "words"])
    model = tools.export(tmp_path / "model", ("fr", "en"), TokenizerPair(tokenizer, tokenizer), packed=True)
    steps = bench_start.timed_steps(["translate", "--model", str(model)], b"some words\n")
    assert steps.keys() == {"interpreter", "this measurement", "command line", *STEPS.values()}
    assert all(seconds > 0 for seconds in steps.values())


def test_imports_are_counted_by_package():
    messages = b"""\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |   re._parser
import time:       300 |        400 | re
import time:      2000 |       2000 |     numpy._core
import time:      1000 |       3000 |   numpy
a warning of somebody
"""
    assert bench_start.imported(messages) == pytest.approx({"Python's own": 0.0004, "numpy": 0.003})
    table = bench_start.imports_table(Counter({"Python's own": 0.0004, "numpy": 0.003}))
    assert cells(table) == [["numpy", "3.0"], ["Python's own", "0.4"], ["all", "3.4"]]


def test_tables_show_medians_and_the_least():
    times = {"s2s": [0.3, 0.1, 0.2]}
    assert cells(bench_start.programs_table(times, times)) == [["s2s", "200.0 (100.0)", "200.0 (100.0)"]]
    assert cells(bench_start.steps_table({"one": [0.1, 0.2], "two": [0.2, 0.3]}))[-1] == ["all", "400.0 (300.0)"]


def test_an_empty_cache_is_asked_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench_start, "_CACHES", tmp_path / "drop_caches")
    bench_start.empty_cache(False)
    assert not (tmp_path / "drop_caches").exists()
    bench_start.empty_cache(True)
    assert (tmp_path / "drop_caches").read_text() == "3"
    monkeypatch.setattr(bench_start, "_CACHES", tmp_path / "nowhere" / "drop_caches")
    with pytest.raises(MachineError, match="cannot be emptied"):
        bench_start.empty_cache(True)
