"""Which weights are exported, by the method of averaging; whatever else lies among the checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.checkpoint.snapshot import Snapshot
from s2s_cli.errors import CheckpointError
from s2s_cli.recipe import schema
from s2s_cli.training.exporting import exported_weights

SCORES = {10: 1.0, 20: 4.0, 25: None, 30: 3.0, 33: None, 40: 2.0, 50: 2.5, 55: None}  # by step; None: no validation


def recipe_with(**averaging: object) -> schema.Recipe:
    return schema.Recipe(
        name="some",
        languages=schema.Languages(source="fr", target="en"),
        data=schema.Data(train=[schema.TrainCorpus(tsv="train")], dev=[schema.Corpus(tsv="dev")]),
        training=schema.Training(averaging=schema.Averaging(**averaging)),
    )


def saved(directory: Path, *, keep_best: int = 1, keep_validated: int = 0, average: bool = True) -> CheckpointManager:
    """The checkpoints of a run whose weights tell their step."""
    manager = CheckpointManager(directory, 2, keep_best, keep_validated)
    best = float("-inf")
    for step, score in SCORES.items():
        extra = {"average": {"w": torch.tensor([step + 0.5])}} if average else {}
        snapshot = Snapshot(step, {"w": torch.tensor([float(step)])}, {}, {}, {}, extra, score)
        manager.save(snapshot, best=score is not None and score > best)
        best = max(best, score if score is not None else best)
    return manager


@pytest.mark.parametrize(
    ("averaging", "expected"),
    [
        ({"method": "none"}, 20),
        ({"method": "ema"}, 20.5),
        ({"method": "last", "count": 1}, 50),
        ({"method": "last", "count": 3}, (30 + 40 + 50) / 3),
        ({"method": "best", "count": 1}, 20),
        ({"method": "best", "count": 3}, (20 + 30 + 50) / 3),
        ({"method": "best", "count": 9}, (10 + 20 + 30 + 40 + 50) / 5),
    ],
)
def test_the_method_chooses(averaging: dict, expected: float, tmp_path: Path):
    count = averaging.get("count", 1)
    kept = {"best": {"keep_best": count}, "last": {"keep_validated": count}}.get(averaging["method"], {})
    weights = exported_weights(recipe_with(**averaging), saved(tmp_path, **kept))
    torch.testing.assert_close(weights, {"w": torch.tensor([expected], dtype=torch.float32)})


def test_a_damaged_checkpoint_is_named_and_the_next_best_taken(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    manager = saved(tmp_path, keep_best=9)
    for step, damage in ((20, b"?"), (30, b"??")):  # one byte is another; one more is there
        path = tmp_path / f"step-{step}" / "extra-average.safetensors"
        path.write_bytes(path.read_bytes()[:-1] + damage)
    assert exported_weights(recipe_with(method="ema"), manager)["w"].item() == 50.5
    told = capfd.readouterr().err
    assert "skipped a checkpoint" in told and "step-20" in told and "step-30" in told
    for path in tmp_path.glob("step-*/state.json"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="no checkpoint with a score can be used"):
        exported_weights(recipe_with(method="ema"), manager)


def test_a_best_checkpoint_from_before_the_moving_average_was_asked_for_gives_its_weights(tmp_path: Path):
    weights = exported_weights(recipe_with(method="ema"), saved(tmp_path, average=False))
    assert weights["w"].tolist() == [20]


def test_checkpoints_without_a_score_push_none_out_that_the_mean_needs(tmp_path: Path):
    manager = saved(tmp_path, keep_validated=3)
    for step in range(60, 70):  # stops, one after the other
        manager.save(Snapshot(step, {"w": torch.zeros(1)}, {}, {}, {}), best=False)
    assert manager.steps() == [20, 30, 40, 50, 68, 69]
    assert exported_weights(recipe_with(method="last", count=3), manager)["w"].item() == 40
