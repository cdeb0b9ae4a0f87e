"""The long trial of "nothing is lost, nothing is let in": kills, flipped bits, random lines, mutated inputs.

    python scripts/torture.py                              # everything, as often as README.md says
    python scripts/torture.py kills flips                  # some pieces only
    python scripts/torture.py mutants --mutants 500 --seed 7
    python scripts/torture.py mutants --only 1234          # one mutant again, with all that it says

kills    `kill -9` at random moments of `s2s train`, then the same command: equal to an uninterrupted run, bit for bit
flips    one bit flipped in a checkpoint or a model: noticed and named
lines    random bytes through `s2s translate`: one line out for each line in, in flat memory
mutants  damaged and hostile recipes, models, runs, corpora through every command: one sentence, a documented exit code

Figures are added to a JSON file, so pieces may run one by one; the table of all of them is printed as Markdown. Exits
with 1 if anything failed.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

PIECES = ("kills", "flips", "lines", "mutants")


def main() -> None:
    options = _options()
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: a process with threads must not be forked
    from tortures import flips, kills, lines, mutants, report

    folder = Path(tempfile.mkdtemp(prefix="torture-", dir=options.folder))
    if options.only is not None:
        sys.exit(mutants.show(options.only, options.seed, folder))
    tortures = {
        "kills": lambda at: kills.torture(options.kills, options.seed, options.jobs, at),
        "flips": lambda at: flips.torture(options.flips, options.seed, at),
        "lines": lambda at: lines.torture(options.lines, options.seed, options.jobs, at),
        "mutants": lambda at: mutants.torture(options.mutants, options.seed, options.jobs, at),
    }
    for name in options.pieces or PIECES:
        begin, place = time.monotonic(), folder / name
        place.mkdir()
        piece = tortures[name](place)
        piece.seed, piece.seconds = options.seed, round(time.monotonic() - begin, 1)
        pieces = report.keep(options.report, {name: piece})
        for failure in piece.failures:
            print(f"{name}: {failure}", file=sys.stderr)
    print(report.table(pieces))
    failed = any(pieces[name].failures for name in options.pieces or PIECES)
    if failed:
        print(f"what failed lies in {folder}", file=sys.stderr)
    sys.exit(failed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pieces", nargs="*", metavar="PIECE", help="kills, flips, lines, mutants; all by default")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--flips", type=int, default=2_000)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--mutants", type=int, default=10_000)
    parser.add_argument("--only", type=int, metavar="N", help="this one mutant, with its files and its messages")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="how much runs side by side")
    parser.add_argument("--report", type=Path, default=Path("torture.json"), help="where figures are kept")
    parser.add_argument("--folder", type=Path, help="where to work; the system's temporary folder by default")
    options = parser.parse_args()
    if unknown := set(options.pieces) - set(PIECES):
        parser.error(f"unknown piece: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
