"""Lines of the training log: sums over their updates, the same however training was interrupted."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest
from tiny import tiny_trainer

from s2s_cli.model.kernels.reference import ReferenceKernel
from s2s_cli.native import library
from s2s_cli.training.process_group import ProcessGroup
from s2s_cli.training.reporting import LOG_EVERY, MetricsLog, TrainingReport, Window, machinery
from s2s_cli.training.trainer import Position, Update

UPDATES = [Update(nll=0.1 * number, tokens=number, gradient_norm=1.0, learning_rate=0.5) for number in range(1, 131)]
TIMES = {"seconds", "tokens_per_second"}


def report_on(log: MetricsLog, updates: list[Update], begin: int, end: int, window: Window) -> None:
    """Tell the updates after `begin` up to `end`."""
    with TrainingReport("some", 0, 1000, log, window) as report:
        for number in range(begin + 1, end + 1):
            report.update(Position(number, batch=number), updates[number - 1], 3, last=number == len(updates))


def lines_of(log: MetricsLog) -> list[dict]:
    lines = [json.loads(line) for line in log.path.read_bytes().splitlines()]
    return [{key: value for key, value in line.items() if key not in TIMES} for line in lines]


def test_a_line_holds_the_sums_since_the_line_before(tmp_path: Path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    report_on(log, UPDATES, 0, len(UPDATES), Window())
    lines = lines_of(log)
    assert [line["update"] for line in lines] == [LOG_EVERY, 2 * LOG_EVERY, len(UPDATES)]
    for line, begin in zip(lines, (0, LOG_EVERY, 2 * LOG_EVERY), strict=True):
        window = UPDATES[begin : line["update"]]
        assert line["tokens"] == sum(update.tokens for update in window)
        assert line["loss"] == pytest.approx(sum(update.nll for update in window) / line["tokens"])


@pytest.mark.parametrize("stops", [(1,), (49,), (50,), (51,), (20, 30, 99, 129), (50, 100)])
def test_lines_are_the_same_however_training_was_interrupted(stops: tuple[int, ...], tmp_path: Path):
    whole, parts = MetricsLog(tmp_path / "whole"), MetricsLog(tmp_path / "parts")
    report_on(whole, UPDATES, 0, len(UPDATES), Window())
    window, begin = Window(), 0
    for end in (*stops, len(UPDATES)):
        report_on(parts, UPDATES, begin, end, window)
        window, begin = Window(**json.loads(json.dumps(asdict(window)))), end
    assert lines_of(parts) == lines_of(whole)


def test_skipped_updates_are_counted_and_not_summed(tmp_path: Path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    broken = Update(nll=math.nan, tokens=7, gradient_norm=math.inf, learning_rate=0.5)
    report_on(log, [UPDATES[0], broken, UPDATES[1], broken], 0, 4, Window())
    (line,) = lines_of(log)
    assert (line["skipped"], line["tokens"], line["gradient_norm"]) == (2, 3, None)
    assert line["loss"] == pytest.approx(0.1)


def test_a_window_of_skipped_updates_alone_has_no_loss(tmp_path: Path):
    log = MetricsLog(tmp_path / "metrics.jsonl")
    broken = Update(nll=math.nan, tokens=7, gradient_norm=math.nan, learning_rate=0.5)
    report_on(log, [broken], 0, 1, Window())
    assert lines_of(log)[0]["loss"] is None


def test_it_is_told_what_the_model_is_trained_with(monkeypatch: pytest.MonkeyPatch):
    trainer = tiny_trainer()
    monkeypatch.setenv("S2S_KERNEL_NATIVE", "0")
    library.load.cache_clear()
    assert machinery(trainer) == "fused kernel, aten passes, fp32, 1 thread"
    library.load.cache_clear()
    trainer.model.kernel = ReferenceKernel()
    trainer.group = ProcessGroup()
    trainer.group.size = 2
    assert machinery(trainer) == "reference kernel, fp32, 1 thread, 2 processes"
