"""Time of an update by processes and by threads, in turn, on the first batches of a recipe.

    s2s prep recipes/quickstart.yaml
    OPENBLAS_NUM_THREADS=1 OMP_WAIT_POLICY=passive python scripts/bench_team.py recipes/quickstart.yaml

All trainers must end with the same weights to the last bit, or the script fails.
"""

from __future__ import annotations

import argparse
import time
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from s2s_cli.__main__ import keep_freed_memory
from s2s_cli.data.prepared import PreparedData, open_prepared
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.batches import Batch, collate
from s2s_cli.training.building import build_epochs, build_order, build_trainer

WARM_UP = 10
"""Updates before the first that is timed."""


class Side(NamedTuple):
    """Milliseconds of an update, and a checksum of the weights after the last one."""

    milliseconds: float
    weights: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--run", type=Path, help="the run whose data is prepared; by default that of the recipe")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--updates", type=int, default=110)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    recipe = load_recipe(options.recipe, [f"training.threads={options.threads}"])
    prepared = open_prepared(options.run or Path("runs") / recipe.name)
    batches = first_batches(recipe, prepared, WARM_UP + options.updates)
    for _ in range(options.rounds):
        sides = {by: timed(recipe, prepared, batches, by) for by in ("processes", "threads")}
        print("  ".join(f"{by} {side.milliseconds:.1f} ms" for by, side in sides.items()), flush=True)
        if len({side.weights for side in sides.values()}) > 1:
            raise SystemExit("processes and threads have trained different weights")


def first_batches(recipe: Recipe, prepared: PreparedData, count: int) -> list[Batch]:
    pairs = build_epochs(recipe, prepared)(0)
    return [collate(pairs, indices) for indices in islice(build_order(recipe, prepared).epoch(0), count)]


def timed(recipe: Recipe, prepared: PreparedData, batches: list[Batch], by: str) -> Side:
    """Updates by the batches, the first of which are not timed."""
    trainer = build_trainer(recipe, prepared)
    if by == "threads":
        trainer.team.close()
    for batch in batches[:WARM_UP]:
        trainer.update([batch])
    begin = time.perf_counter()
    for batch in batches[WARM_UP:]:
        trainer.update([batch])
    seconds = time.perf_counter() - begin
    trainer.team.close()
    weights = torch.cat([parameter.detach().flatten() for parameter in trainer.parameters])
    return Side(1e3 * seconds / max(1, len(batches) - WARM_UP), sha256(weights.numpy().tobytes()).hexdigest())


if __name__ == "__main__":
    main()
