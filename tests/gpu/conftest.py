"""Tests that need a GPU: left out where there is none, and said so at the end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="no GPU"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = [report for report in terminalreporter.getreports("skipped") if "tests/gpu/" in report.nodeid]
    if left_out:
        terminalreporter.write_line(f"{len(left_out)} tests of tests/gpu were left out: there is no GPU", yellow=True)
