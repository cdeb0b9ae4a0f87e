"""One translation that a search found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Hypothesis:
    """A target sentence with its scores. T pieces, S source positions (EOS of the source included, no padding)."""

    ids: list[int]
    """The T target pieces, without BOS and EOS."""
    score: float
    """What ranks: `log_prob` over the length penalty."""
    log_prob: float
    """log p(pieces, EOS | source), in nats; without EOS where the hypothesis is not finished."""
    finished: bool
    """Whether the model ended the sentence itself; if not, the length limit did."""
    attention: np.ndarray | None
    """[T, S] float32: row t has the weights with which piece t was predicted (no row for EOS)."""
