"""Learning-rate schedules: a linear warm-up, then one of three courses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

Course = Callable[[int, int], float]

COURSES: dict[str, Course] = {
    "constant": lambda update, warmup: 1.0,
    "inverse_sqrt": lambda update, warmup: (max(warmup, 1) / update) ** 0.5,  # Vaswani et al. 2017, section 5.3
    "plateau": lambda update, warmup: 1.0,  # reduced by `after_validation`
}


@dataclass
class Schedule:
    """The learning rate of each update, counted from 1.

    peak: the rate at the end of the warm-up. For `plateau`, after `decay_patience` validations without progress the
    rate is multiplied by `decay_factor`. `scale` and `stale` are its whole state.
    """

    peak: float
    course: str
    warmup: int
    decay_factor: float = 0.7
    decay_patience: int = 1
    scale: float = field(default=1.0)
    stale: int = field(default=0)

    def rate(self, update: int) -> float:
        """The learning rate of this update."""
        if update < self.warmup:
            return self.peak * self.scale * update / self.warmup
        return self.peak * self.scale * COURSES[self.course](update, self.warmup)

    def after_validation(self, improved: bool) -> None:
        """Learn how a validation went."""
        self.stale = 0 if improved else self.stale + 1
        if self.course == "plateau" and self.stale >= self.decay_patience:
            self.scale *= self.decay_factor
            self.stale = 0

    def state(self) -> dict:
        return {"scale": self.scale, "stale": self.stale}

    def restore(self, state: dict) -> None:
        self.scale, self.stale = state["scale"], state["stale"]
