"""The learning rate of each update, and when to stop early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Course = Callable[[int, int, int], float]
"""(update, last update of the warm-up, last update of all) -> share of the peak learning rate."""


def _linear(update: int, warmup: int, last: int) -> float:
    """Linear decay to nearly zero at the end (Devlin et al. 2019, appendix A.2), and constant after it."""
    return max(1, last + 1 - update) / max(1, last + 1 - max(warmup, 1))


COURSES: dict[str, Course] = {
    "constant": lambda update, warmup, last: 1.0,
    "inverse_sqrt": lambda update, warmup, last: (max(warmup, 1) / update) ** 0.5,  # Vaswani et al. 2017, section 5.3
    "linear": _linear,
    "plateau": lambda update, warmup, last: 1.0,  # reduced by `after_validation`
}


@dataclass
class Schedule:
    """The learning rate of each update, counted from 1.

    peak: the rate at the end of the warm-up. For `plateau`, after `decay_patience` validations without progress the
    rate is multiplied by `decay_factor`. last: the number of updates of the whole run, as far as it can be known.
    The state consists of `scale` and `stale`, and of the peak that was scaled.
    """

    peak: float
    course: str
    warmup: int
    decay_factor: float = 0.7
    decay_patience: int = 1
    last: int = 1
    scale: float = field(default=1.0)
    stale: int = field(default=0)

    def rate(self, update: int) -> float:
        """The learning rate of this update."""
        if update < self.warmup:
            return self.peak * self.scale * update / self.warmup
        return self.peak * self.scale * COURSES[self.course](update, self.warmup, self.last)

    def after_validation(self, improved: bool) -> None:
        """Take the result of a validation into account."""
        self.stale = 0 if improved else self.stale + 1
        if self.course == "plateau" and self.stale >= self.decay_patience:
            self.scale *= self.decay_factor
            self.stale = 0

    def state(self) -> dict:
        return {"scale": self.scale, "stale": self.stale, "peak": self.peak}

    def restore(self, state: dict) -> None:
        """Go on from a state, without reductions of another peak, or before another course."""
        is_same = self.course == "plateau" and state.get("peak", self.peak) == self.peak  # older versions noted no peak
        self.scale, self.stale = state["scale"] if is_same else 1.0, state["stale"]


@dataclass
class Patience:
    """Early stopping: counts the validations since the best one. Higher scores are better. All fields but `limit` are
    state."""

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
