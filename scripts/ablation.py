"""What each method adds to a recipe: rows of a table, each trained with several seeds and measured on dev.

    python scripts/ablation.py --list                                          # the studies and their rows
    python scripts/ablation.py multi30k-de-en                                  # all rows, three seeds: many hours
    python scripts/ablation.py multi30k-de-en --row word-dropout --seed 1      # one run, and the table so far
    python scripts/ablation.py multi30k-de-en --row none                       # only the table so far

Everything is kept below runs/ablation: stop it whenever you like, the same command goes on. The figures are those of
the best validation of a run; the last column is the ensemble of a row's runs, decoded with a beam. Test sets are left
alone: what is chosen is chosen on dev. `--set` holds for all runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
FOLDER = Path("runs", "ablation")
SEEDS = (1, 2, 3)

Row = tuple[str, ...]
"""Overrides of the recipe, as `--set` takes them."""


@dataclass(frozen=True)
class Study:
    """A recipe, and rows that differ from it in one method or in several. The first is the recipe without them."""

    recipe: str
    rows: dict[str, Row]


WORDS = ("model.dropout.source_words=0.1", "model.dropout.target_words=0.1")
SUBWORDS = ("training.subword_sampling.source=0.4", "training.subword_sampling.target=0.4")
METHODS = {"base": (), "word-dropout": WORDS, "subword-sampling": SUBWORDS, "both": WORDS + SUBWORDS}

STUDIES = {
    "quickstart": Study("quickstart.yaml", METHODS),
    "multi30k-de-en": Study("multi30k-de-en.yaml", METHODS),
}


class Result(NamedTuple):
    """Of a finished run: scores of its best validation, and how long it has trained and validated."""

    loss: float
    bleu: float
    chrf: float
    minutes: float


def folder_of(study: str, row: str, seed: int) -> Path:
    return FOLDER / study / f"{row}-{seed}"


def train(study: str, row: str, seed: int, extra: list[str]) -> None:
    """Train one run to its end, from wherever it stands."""
    overrides = [*STUDIES[study].rows[row], f"seed={seed}", *extra]
    command = [sys.executable, "-m", "s2s_cli", "train", str(RECIPES / STUDIES[study].recipe)]
    options = [word for override in overrides for word in ("--set", override)]
    print(f"== {study}, {row}, seed {seed}: {' '.join(overrides)}", file=sys.stderr, flush=True)
    done = subprocess.run([*command, *options, "--run", str(folder_of(study, row, seed))], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)  # it has said why


def result_of(run: Path) -> Result | None:
    """What a run reached; None if it has not come to its end."""
    if not (run / "model" / "manifest.json").exists():
        return None
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    best = [line for line in lines if line.get("best")][-1]
    seconds = sum(line.get("seconds", 0.0) for line in lines)
    return Result(best["loss"], best["bleu"], best["chrf"], seconds / 60)


def table(study: str) -> Iterator[str]:
    """A Markdown table: a line for each row with finished runs, mean ± standard deviation over the seeds."""
    yield "| row | seeds | dev loss | dev BLEU | dev chrF | minutes | ensemble's dev BLEU |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for row in STUDIES[study].rows:
        finished = {run: result_of(run) for run in sorted((FOLDER / study).glob(f"{row}-[0-9]*"))}
        runs = [run for run, result in finished.items() if result is not None]
        if results := [result for result in finished.values() if result is not None]:
            columns = list(zip(*results, strict=True))
            loss, bleu, chrf, minutes = (
                spread(column, digits) for column, digits in zip(columns, (3, 2, 2, 1), strict=True)
            )
            together = ensemble_bleu(runs) if len(runs) > 1 else ""
            yield f"| {row} | {len(results)} | {loss} | {bleu} | {chrf} | {minutes} | {together} |"


def ensemble_bleu(runs: list[Path]) -> str:
    """BLEU on dev of the models of several runs together."""
    models = [word for run in runs for word in ("--model", str(run))]
    command = [sys.executable, "-m", "s2s_cli", "evaluate", *models, "--test", "dev", "--bleu", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return f"{json.loads(done.stdout)[0]['value']:.2f}"


def spread(values: tuple[float, ...], digits: int) -> str:
    """Mean ± standard deviation; of one value, the value."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", nargs="?", choices=STUDIES)
    parser.add_argument("--list", action="store_true", help="show the studies and their rows")
    parser.add_argument("--row", action="append", metavar="ROW", help="only this one; may be repeated; `none` for none")
    parser.add_argument("--seed", action="append", type=int, metavar="N", help="by default 1, 2 and 3")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of all runs")
    arguments = parser.parse_args()
    if arguments.list or arguments.study is None:
        for name, study in STUDIES.items():
            for row, overrides in study.rows.items():
                print(f"{name}  {row}  {' '.join(overrides)}")
        return
    rows = arguments.row or list(STUDIES[arguments.study].rows)
    if unknown := {*rows} - {*STUDIES[arguments.study].rows, "none"}:
        parser.error(f"{arguments.study} has no row {sorted(unknown)[0]!r}; --list shows them")
    for seed in arguments.seed or SEEDS:  # every row once before any of them twice
        for row in rows:
            if row != "none":
                train(arguments.study, row, seed, arguments.set)
    print("\n".join(table(arguments.study)))


if __name__ == "__main__":
    main()
