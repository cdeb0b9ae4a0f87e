"""Early stopping: how long since the last progress."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Patience:
    """Validations counted against the best one. Scores are higher-better. All but `limit` is its state."""

    limit: int | None
    best: float = float("-inf")
    best_update: int = 0
    stale: int = 0
    """Validations since the best."""

    def judge(self, score: float, update: int) -> bool:
        """Whether this score is the best so far."""
        if score > self.best:
            self.best, self.best_update, self.stale = score, update, 0
            return True
        self.stale += 1
        return False

    @property
    def exhausted(self) -> bool:
        return self.limit is not None and self.stale >= self.limit

    def state(self) -> dict[str, float]:
        return {"best": self.best, "best_update": self.best_update, "stale": self.stale}

    def restore(self, state: dict) -> None:
        self.best, self.best_update, self.stale = state["best"], state["best_update"], state["stale"]
