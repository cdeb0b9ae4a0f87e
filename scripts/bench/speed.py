"""Figures of several rounds, and how they are shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median


@dataclass(frozen=True)
class Report:
    """What a program tells of its speed: target tokens per second, and over how many seconds."""

    seconds: float
    tokens_per_second: float


def mean_speed(reports: Sequence[Report]) -> float:
    """Target tokens per second over all reports."""
    tokens = sum(report.seconds * report.tokens_per_second for report in reports)
    return tokens / sum(report.seconds for report in reports)


def s2s_reports(metrics: Path) -> list[Report]:
    """The reports in the log of a run, without the first one, which has the start-up in it."""
    if not metrics.exists():
        return []
    whole_lines = metrics.read_text().rpartition("\n")[0].splitlines()
    lines = [line for line in map(json.loads, whole_lines) if line["kind"] == "train"]
    return [Report(line["seconds"], line["tokens"] / line["seconds"]) for line in lines[1:]]


def spread(values: Sequence[float], digits: int = 0) -> str:
    """`median (least–most)`; nothing of nothing."""
    if not values:
        return ""
    low, middle, high = (f"{value:,.{digits}f}" for value in (min(values), median(values), max(values)))
    return f"{middle} ({low}–{high})" if len(values) > 1 else middle


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, its columns aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    aligned = ([cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in aligned)
