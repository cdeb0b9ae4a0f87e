"""What a translation memory costs: processor time to build it and to look lines up, and memory.

    python scripts/bench_memory.py sentences.de.xz --entries 100000

The memory has the first different lines of the file, in a random order. Looked up are lines of it as they are, lines of
it with one word changed, and lines that it has not; each once, as new lines.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from s2s_cli.inference.memory import TranslationMemory
from s2s_cli.text.files import read_lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", type=Path)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--fuzzy", type=float, default=0.75)
    chosen = parser.parse_args()
    found = {line.strip(): None for line in read_lines(chosen.lines) if line.strip()}
    lines = list(islice(found, chosen.entries + chosen.queries))
    for figure, value in measured(lines, chosen.queries, chosen.fuzzy).items():
        print(f"{figure:32} {value:12,.2f}")


def measured(lines: Sequence[str], queries: int, fuzzy: float) -> dict[str, float]:
    """The figures by name. lines: all different; the last `queries` of them are not in the memory."""
    generator = random.Random(1)
    entries, others = list(lines[:-queries]), list(lines[-queries:])
    generator.shuffle(entries)
    known = [generator.choice(entries) for _ in range(queries)]
    before, peak = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    memory = TranslationMemory((line, line) for line in entries)
    built = time.process_time()
    memory.fuzzy(others[0], fuzzy)
    figures = {
        "entries": float(len(memory)),
        "seconds to build": built - before,
        "seconds to index, once": time.process_time() - built,
        "MiB": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024,
    }
    changed = [_with_another_word(line, generator) for line in known]
    looks = {"exact": known, "fuzzy, a word changed": changed, "fuzzy, unknown lines": others}
    for name, texts in looks.items():
        start, hits = time.process_time(), 0
        for text in texts:
            hits += (memory.exact(text) if name == "exact" else memory.fuzzy(text, fuzzy)) is not None
        figures[f"lines/s, {name}"] = queries / (time.process_time() - start)
        figures[f"found, {name}"] = hits / queries
    return figures


def _with_another_word(line: str, generator: random.Random) -> str:
    words = line.split()
    words[generator.randrange(len(words))] = "another"
    return " ".join(words)


if __name__ == "__main__":
    main()
