"""Length penalties: the score of a hypothesis Y is log p(Y | X) / penalty(|Y|), where |Y| counts EOS.

log p(Y | X) is a sum of |Y| negative terms, so unnormalised search favours short translations. Every penalty rises
with the length (or stays 1), which the stop rule of beam search relies upon.

Each function takes one length or a tensor of lengths, and the exponent α ≥ 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Length = TypeVar("Length", float, "Tensor")


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
