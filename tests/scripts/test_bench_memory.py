"""The benchmark of translation memories finds what is there."""

from __future__ import annotations

from scripts.bench_memory import measured


def test_known_lines_are_found():
    lines = [f"{word} sentence number {number} of many" for number in range(30) for word in ("first", "second")]
    figures = measured([*lines, *map(str, range(5))], queries=5, fuzzy=0.7)
    assert figures["entries"] == 60
    assert figures["found, exact"] == figures["found, fuzzy, a word changed"] == 1.0
    assert figures["found, fuzzy, unknown lines"] == 0.0
