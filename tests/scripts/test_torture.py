"""The long trial in small; and that it would notice what it looks for."""

from __future__ import annotations

import json
import random
import select
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.tortures import lines, mutants, report
from scripts.tortures.inputs import Mutant
from scripts.tortures.mutations import MUTATIONS, spoiled

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_every_piece_in_small(tmp_path: Path):
    options = "--kills 4 --flips 60 --lines 3000 --mutants 60 --seed 5".split()
    files = ["--report", str(tmp_path / "torture.json"), "--folder", str(tmp_path)]
    command = [sys.executable, str(ROOT / "scripts" / "torture.py"), *options, *files]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    pieces = json.loads((tmp_path / "torture.json").read_text())
    assert {name: piece["failures"] for name, piece in pieces.items()} == {name: [] for name in pieces}
    assert [pieces[name]["tried"] >= least for name, least in {"kills": 4, "flips": 60, "lines": 3000}.items()]
    assert sum(pieces["mutants"]["figures"].values()) == 60
    assert done.stdout.count("\n") == 2 + len(pieces) == 6


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_every_mutation_spoils_something_and_survives_nothing(mutation):
    recipe = b'name: a\nseed: 7\nmodel: {"x": [1, 2.5, true]}\n'
    results = {mutation(recipe, random.Random(seed)) for seed in range(40)}
    assert len(results - {recipe}) > 3
    for nothing in (b"", b"\0"):
        assert isinstance(mutation(nothing, random.Random(1)), bytes)


def test_spoiled_data_is_never_what_it_was_and_depends_on_the_seed_alone():
    for seed in range(200):
        data = spoiled(b"key: 1\n", random.Random(seed))
        assert data != b"key: 1\n"
        assert data == spoiled(b"key: 1\n", random.Random(seed))


MUTANT = Mutant(["translate"], ("/x/model",), lines=2)


@pytest.mark.parametrize(
    ("code", "output", "messages", "fault"),
    [
        (0, b"a\nb\n", "warning: <stdin>:1: invalid\n", ""),
        (0, b"a\n", "", "1 lines out"),
        (3, b"", "error: /x/model/config.json: Invalid JSON\n", ""),
        (3, b"", "error: Invalid JSON\n", "names no file"),
        (3, b"", "error: /x/model: one\nerror, two\n", "not one sentence"),
        (3, b"", "error: /x/model: \x1b[2J\n", "control characters"),
        (3, b"", "", "not one sentence"),
        (1, b"", "error: not enough memory (...)\n", ""),
        (1, b"", "error: the program is at fault: KeyError: 'x'\n", "a fault of the program"),
        (1, b"", "Traceback (most recent call last):\n", "a fault of the program"),
        (70, b"", "error: /x/model\n", "exit code 70"),
        (2, b"", "error: /x/model:1: one\n/x/model:2: two\n", ""),
    ],
)
def test_what_is_wrong_is_seen(code: int, output: bytes, messages: str, fault: str):
    assert mutants.judge(MUTANT, code, output, messages).startswith(fault)
    assert bool(mutants.judge(MUTANT, code, output, messages)) == bool(fault)


def test_a_crash_and_a_hang_are_told_with_the_number_of_their_mutant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paused = tmp_path / "paused"

    def ready(pipes, *_):
        """As if the time were over as soon as the child pauses, however slow the machine."""
        while not (found := select.select(pipes, [], [], 0.05))[0] and not paused.exists():
            pass
        return found if found[0] else select.select(pipes, [], [], 0)

    def work(numbers, seed, originals, folder, records):
        mutants.os.setsid()
        for number in numbers:
            mutants._send(records, {"number": number})
            if number == 1:
                mutants.os.kill(mutants.os.getpid(), mutants.signal.SIGKILL)
            if number == 3:
                paused.touch()
                mutants.signal.pause()
            mutants._send(records, {"number": number, "code": 0, "fault": ""})
        mutants.os._exit(0)

    monkeypatch.setattr(mutants, "_work", work)
    monkeypatch.setattr(mutants, "select", SimpleNamespace(select=ready))
    counts, failures = mutants._batch(range(5), 9, None, tmp_path)
    assert counts == {"exit 0": 3, "exit crash": 1, "exit hang": 1}
    assert [failure.partition(": ")[0] for failure in failures] == ["--seed 9 --only 1", "--seed 9 --only 3"]
    assert "crashes: -9" in failures[0] and "hangs" in failures[1]


def test_random_lines_are_of_every_kind_and_the_same_for_a_seed():
    some = list(islice(lines.random_lines(random.Random(2)), 3000))
    assert some == list(islice(lines.random_lines(random.Random(2)), 3000))
    assert b"\n" not in b"".join(some)
    assert b"" in some and any(b"\0" in line for line in some) and any(b"\xe2\x80\xa8" in line for line in some)
    assert 0.2 < sum(line.decode(errors="replace").encode() != line for line in some) / len(some) < 0.6


def test_pieces_are_kept_beside_those_of_before(tmp_path: Path):
    path = tmp_path / "report.json"
    report.keep(path, {"kills": report.Piece(3, "times kill -9", {"inside a save": 1})})
    both = report.keep(path, {"flips": report.Piece(2_000, "flipped bits", failures=["one"], seed=4, seconds=7.0)})
    assert report.table(both).splitlines()[2:] == [
        "| kills | 3 times kill -9 | 0 | inside a save 1 | 0 | 0 s |",
        "| flips | 2,000 flipped bits | 1 |  | 4 | 7 s |",
    ]
