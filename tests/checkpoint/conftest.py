"""Snapshots to save and compare."""

from __future__ import annotations

import pytest
import torch

from s2s_cli.checkpoint.snapshot import Snapshot


def make_snapshot(step: int, score: float | None = None, width: int = 64) -> Snapshot:
    """A small snapshot in which every value tells its step, so that a mixture of two would show."""
    table = torch.full((width, 8), float(step))
    weights = {"table": table, "tied": table, "bias": torch.full((3,), step, dtype=torch.bfloat16)}
    return Snapshot(
        step=step,
        weights=weights,
        optimizer={"table.exp_avg": torch.full((width, 8), step + 0.5), "table.step": torch.tensor(float(step))},
        random={"cpu": torch.full((5056,), step % 256, dtype=torch.uint8)},
        scalars={"epoch": step // 10, "best": float("-inf"), "history": [step, step / 3]},
        extra={"ema": {"table": table / 7}},
        score=score,
    )


def assert_same(found: Snapshot | None, expected: Snapshot) -> None:
    """Equal to the last bit, number types and shapes included."""
    assert found is not None
    assert (found.step, found.score, found.scalars) == (expected.step, expected.score, expected.scalars)
    assert found.extra.keys() == expected.extra.keys()
    pairs = [(found.weights, expected.weights), (found.optimizer, expected.optimizer), (found.random, expected.random)]
    for ours, theirs in pairs + [(found.extra[name], expected.extra[name]) for name in expected.extra]:
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert ours[name].dtype == theirs[name].dtype
            assert torch.equal(ours[name], theirs[name])


@pytest.fixture(scope="session")
def tools(tools: type) -> type:
    """The tools of all tests, and what those of this directory share."""

    class SnapshotTools(tools):
        make_snapshot = staticmethod(make_snapshot)
        assert_same = staticmethod(assert_same)

    return SnapshotTools
