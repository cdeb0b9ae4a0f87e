"""metrics.jsonl: what a resumed run forgets, and that nothing else is touched."""

from __future__ import annotations

import json
import math
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.training.reporting import ORDER, MetricsLog

KINDS = sorted(ORDER, key=ORDER.__getitem__)


@pytest.fixture
def log(tmp_path: Path) -> MetricsLog:
    return MetricsLog(tmp_path / "metrics.jsonl")


def fill(log: MetricsLog, updates: int) -> list[bytes]:
    for update in range(1, updates + 1):
        for kind in KINDS:
            log.write(kind, update, loss=1 / 3, name="späte Prüfung")
    return log.path.read_bytes().splitlines(keepends=True)


def test_a_line_holds_what_was_written(log: MetricsLog):
    log.write("train", 3, loss=0.1 + 0.2, name="é", scores={"BLEU": 1.5})
    content = {"kind": "train", "update": 3, "loss": 0.1 + 0.2, "name": "é", "scores": {"BLEU": 1.5}}
    assert json.loads(log.path.read_bytes()) == content


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null_in_strict_json(log: MetricsLog, value: float):
    log.write("train", 1, loss=value)
    assert json.loads(log.path.read_bytes(), parse_constant=pytest.fail)["loss"] is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("update", [0, 1, 3, 5])
def test_later_lines_are_forgotten_and_the_others_keep_every_byte(log: MetricsLog, update: int, kind: str):
    lines = fill(log, updates=4)
    log.forget_after(update, kind)
    kept = 0 if update == 0 else min(len(lines), (update - 1) * len(KINDS) + ORDER[kind] + 1)
    assert log.path.read_bytes() == b"".join(lines[:kept])


def test_a_last_line_cut_short_is_forgotten_wherever_it_was_cut(log: MetricsLog):
    *lines, last = fill(log, updates=2)
    for length in range(len(last) - 1):  # also in the middle of a character
        log.path.write_bytes(b"".join(lines) + last[:length])
        log.forget_after(9, "test")
        assert log.path.read_bytes() == b"".join(lines)


def test_a_last_line_that_only_lacks_its_end_is_kept(log: MetricsLog):
    lines = fill(log, updates=2)
    log.path.write_bytes(b"".join(lines)[:-1])
    log.forget_after(9, "test")
    assert log.path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize(
    "foreign",
    [
        b"[1]",
        b"17",
        b'{"update": 1}',
        b'{"kind": "other", "update": 1}',
        b'{"kind": "train", "update": 1e999}',
        b"\0\xff{",
    ],
)
def test_what_is_no_line_of_a_log_is_dropped(log: MetricsLog, foreign: bytes):
    lines = fill(log, updates=2)
    log.path.write_bytes(lines[0] + foreign + b"\n" + lines[1])
    log.forget_after(9, "test")
    assert log.path.read_bytes() == lines[0] + lines[1]


def test_no_log_is_made_by_forgetting(log: MetricsLog):
    log.forget_after(0, "train")
    assert not log.path.exists()


def test_a_log_with_nothing_to_forget_is_not_written_again(log: MetricsLog):
    fill(log, updates=2)
    before = log.path.stat()
    log.forget_after(2, "test")
    assert (log.path.stat().st_ino, log.path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@given(st.integers(0, 12), st.integers(0, 12), st.sampled_from(KINDS))
def test_stopping_anywhere_and_writing_the_rest_again_gives_the_same_log(
    tmp_path_factory, stopped: int, checkpoint: int, kind: str
):
    entries = [(update, each) for update in range(1, 5) for each in KINDS]
    log = MetricsLog(tmp_path_factory.mktemp("log") / "metrics.jsonl")
    for update, each in entries[:stopped]:
        log.write(each, update)
    seen = entries[:stopped][:checkpoint]  # what the checkpoint has seen
    log.forget_after(*(seen[-1] if seen else (0, "train")))
    for update, each in entries[len(seen) :]:
        log.write(each, update)
    lines = [json.loads(line) for line in log.path.read_bytes().splitlines()]
    assert [(line["update"], line["kind"]) for line in lines] == entries


@contextmanager
def full(path: Path) -> Iterator[None]:
    """No file can grow beyond this one and some bytes."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_what_cannot_be_written_now_comes_with_the_next_line_or_is_told_of(log: MetricsLog, capsys):
    def updates() -> list[int]:
        return [json.loads(line)["update"] for line in log.path.read_bytes().splitlines()]

    log.write("train", 1)
    with full(log.path):
        for update in (2, 3):
            log.write("train", update)
            assert updates() == [1]
    assert capsys.readouterr().err.count("metrics.jsonl: cannot be written: File too large") == 1
    log.write("train", 4)
    assert updates() == [1, 2, 3, 4]
    with full(log.path):
        log.write("train", 5)
        log.write("train", 6)
        capsys.readouterr()
        log.settle()
    assert capsys.readouterr().err.endswith("; the last 2 lines are lost\n")
    log.settle()
    log.write("train", 7)
    assert updates() == [1, 2, 3, 4, 7]
