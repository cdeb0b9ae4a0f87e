"""How to search, checked once.

Length penalties: the score of a hypothesis Y is log p(Y | X) / penalty(|Y|), where |Y| counts EOS. As log p(Y | X) is a
sum of |Y| negative terms, a search without penalty favours short translations. Every penalty rises with the length (or
stays 1), which the stop rule of beam search relies upon. Each takes a length or an array of them, and the exponent α.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from s2s_cli.errors import UsageError

Length = TypeVar("Length", float, np.ndarray)


def wu(length: Length, alpha: float) -> Length:
    """((5 + |Y|) / 6)^α: Wu et al. 2016, "Google's Neural Machine Translation System", section 7."""
    return ((length + 5.0) / 6.0) ** alpha


def average(length: Length, alpha: float) -> Length:
    """|Y|^α: with α = 1 the mean log-probability of a symbol."""
    return length**alpha


def none(length: Length, alpha: float) -> Length:
    """1, whatever the length and α: the plain log-probability."""
    return length**0.0


class Penalty(Protocol):
    def __call__(self, length: Length, alpha: float, /) -> Length: ...


PENALTIES: dict[str, Penalty] = {"wu": wu, "average": average, "none": none}


@dataclass(frozen=True)
class SamplingOptions:
    """The distribution that symbols are drawn from. A value that makes no sense raises `UsageError`."""

    temperature: float = 1.0
    """Log-probabilities are divided by it: below 1 sharper, above 1 flatter."""
    top_k: int | None = None
    """Draw among the k most probable symbols only; `None`: among all."""
    top_p: float = 1.0
    """Draw among the fewest most probable symbols that have this share of the probability: the nucleus."""
    seed: int = 1
    """Together with the place of a sentence it decides what is drawn."""

    def __post_init__(self) -> None:
        # Divided by less, the log-probabilities of all symbols would overflow.
        _require(1e-30 <= self.temperature < math.inf, "temperature", self.temperature, "a number from 1e-30 on")
        _require(self.top_k is None or self.top_k >= 1, "top_k", self.top_k, "at least 1")
        _require(0.0 < self.top_p <= 1.0, "top_p", self.top_p, "greater than 0 and at most 1")
        _require(0 <= self.seed < 2**64, "seed", self.seed, "from 0 on and below 2^64")


UTILITIES = ("chrf", "bleu")
MOST_CANDIDATES, MOST_PIECES, GREATEST_RATIO = 1_000, 10_000, 100.0
"""Beyond any use: a slip of the hand is not to take all memory, or to go on for days."""
GREATEST_EXPONENT = 5.0
"""Beyond any use too: up to it, the penalty of the longest translation is a number that float32 can hold."""


@dataclass(frozen=True)
class RiskOptions:
    """How `s2s_cli.inference.minimum_risk` chooses among the candidates that a search has found."""

    utility: str = "chrf"
    """What likeness is measured by: one of `UTILITIES`."""
    draws: int = 50
    """Candidates of a sentence where they are drawn. A search has as many as its beam."""

    def __post_init__(self) -> None:
        _require(self.utility in UTILITIES, "mbr", self.utility, f"one of {', '.join(UTILITIES)}")
        _require(2 <= self.draws <= MOST_CANDIDATES, "candidates", self.draws, f"from 2 to {MOST_CANDIDATES:,}")


@dataclass(frozen=True)
class SearchOptions:
    """How to search. A value that makes no sense raises `UsageError`."""

    beam: int = 5
    """Open hypotheses of a sentence (beam search)."""
    n_best: int = 1
    """Hypotheses to return for a sentence: at most `beam`, or as many draws as one likes."""
    normalization: str = "wu"
    """Length penalty: a name of `s2s_cli.search.options.PENALTIES`."""
    length_penalty: float = 1.0
    """Exponent α of the penalty, `GREATEST_EXPONENT` at most; 0 switches it off, more favours longer translations."""
    min_length: int = 0
    """Least number of target pieces; EOS is not allowed before."""
    max_length_ratio: float = 2.0
    """Most target pieces for each source piece (EOS not counted) ..."""
    max_length_offset: int = 10
    """... plus so many."""
    groups: int = 1
    """Groups of hypotheses that the beam is divided into, each made to differ from those before it; 1: beam search."""
    diversity: float = 0.5
    """What a symbol costs a group, in nats, for each hypothesis of another group that takes it in the same step."""
    sampling: SamplingOptions | None = None
    """Draw the symbols instead of searching for the most probable ones."""
    risk: RiskOptions | None = None
    """Return the `n_best` of all that was found, or drawn, that have the least risk instead."""

    def __post_init__(self) -> None:
        fits = self.sampling is not None or self.n_best <= MOST_CANDIDATES
        _require(fits, "n_best", self.n_best, f"{MOST_CANDIDATES:,} at most")  # the beam may have been widened for it
        _require(1 <= self.beam <= MOST_CANDIDATES, "beam", self.beam, f"from 1 to {MOST_CANDIDATES:,}")
        if not self.sampling:
            _require(1 <= self.n_best <= self.beam, "n_best", self.n_best, f"from 1 to the beam ({self.beam})")
        elif self.risk:
            draws = self.risk.draws
            _require(1 <= self.n_best <= draws, "n_best", self.n_best, f"from 1 to the candidates ({draws})")
        _require(self.n_best >= 1, "n_best", self.n_best, "at least 1")
        _require(self.normalization in PENALTIES, "normalization", self.normalization, f"one of {', '.join(PENALTIES)}")
        exponents = f"a number from 0 to {GREATEST_EXPONENT:.0f}"
        _require(0.0 <= self.length_penalty <= GREATEST_EXPONENT, "length_penalty", self.length_penalty, exponents)
        pieces, ratio = f"from 0 to {MOST_PIECES:,}", self.max_length_ratio
        _require(0 <= self.min_length <= MOST_PIECES, "min_length", self.min_length, pieces)
        _require(
            0 < ratio <= GREATEST_RATIO, "max_length_ratio", ratio, f"greater than 0, {GREATEST_RATIO:.0f} at most"
        )
        _require(0 <= self.max_length_offset <= MOST_PIECES, "max_length_offset", self.max_length_offset, pieces)
        _require(
            self.groups >= 1 and self.beam % self.groups == 0,
            "groups",
            self.groups,
            f"a divisor of the beam ({self.beam})",
        )
        _require(0.0 <= self.diversity < math.inf, "diversity", self.diversity, "a number from 0 on")

    @property
    def width(self) -> int:
        """Hypotheses of a sentence that are followed at once."""
        return self.of_candidates().n_best if self.sampling else self.beam

    def of_candidates(self) -> SearchOptions:
        """Of the search that finds the candidates, if there is a choice among them."""
        if self.risk is None:
            return self
        return replace(self, n_best=self.risk.draws if self.sampling else self.beam, risk=None)

    def penalty(self, length: Length) -> Length:
        """By what log p of a hypothesis with so many symbols (EOS counted) is divided."""
        return PENALTIES[self.normalization](length, self.length_penalty)

    def length_limits(self, source_lengths_B: np.ndarray, room_B: np.ndarray | int = 0) -> np.ndarray:
        """Most target symbols of each sentence, from its source length (which counts EOS): int64 [B].

        ratio × source pieces + offset, but always enough for the least length and the EOS after it, and `room_B` more,
        for what is forced. A hypothesis that has so many pieces and no EOS is cut there.
        """
        limits_B = ((source_lengths_B - 1) * self.max_length_ratio).astype(np.int64) + self.max_length_offset
        return np.maximum(limits_B, self.min_length + 1) + room_B


def _require(holds: bool, name: str, value: object, expected: str) -> None:
    if not holds:
        raise UsageError(f"`{name}` must be {expected}, not {value}")
