"""A size is measured for all sides, and a share is told where the rate of the instruction is known."""

from __future__ import annotations

import re

import pytest

from scripts import bench_products


@pytest.mark.parametrize("kind", ["int8", "float32", "bfloat16"])
def test_a_line_has_the_rates_of_all_sides(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_products, "OPERATIONS", 1e4)
    told = bench_products.line(kind, 2, 8, 40, 1e9, 1)
    sides = "s2s torch NumPy" if kind == "float32" else "s2s torch"
    assert re.findall(r"[a-zA-Z0-9]+(?= +\d+\.\d)", told) == sides.split()
    assert told.endswith("%") and "share" not in bench_products.line(kind, 2, 8, 40, None, 1)


def test_the_rate_of_an_unknown_instruction_is_not_told() -> None:
    assert bench_products.peak_rate("plain", 0) is None
