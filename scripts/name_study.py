"""What the name of a book tells a model about its verses: recipes/family/verse.yaml on its unseen test verses.

    python scripts/name_study.py runs/verse

Every verse is scored with each name. The loss (nats per token, the end of the verse included) with the right name is
compared with the mean over the wrong ones; 95 % intervals by bootstrap over the verses. The names can also be told
apart: by Bayes' rule with all books equally likely, the one that makes the verse likeliest is its book.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from s2s_cli.data.prepared import open_prepared
from s2s_cli.inference.translator import Translator

# Shapes: V verses, N names, R resamples.


@dataclass(frozen=True)
class Losses:
    """Sums over the tokens of each verse, in nats."""

    right_V: np.ndarray
    wrong_V: np.ndarray
    """Mean over the wrong names."""
    named_V: np.ndarray
    """Whether no other name makes the verse likelier."""
    tokens_V: np.ndarray

    def rows(self) -> dict[str, np.ndarray]:
        """What is reported, as sums over a verse."""
        return {"right name": self.right_V, "wrong name": self.wrong_V, "difference": self.wrong_V - self.right_V}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run directory of the recipe")
    parser.add_argument("--test", default="test", help="name of the test set")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    names, verses = open_prepared(options.run).test_texts(options.test)
    translator = Translator.load(options.run, threads=options.threads)
    losses = measure(translator, names, verses)
    print(report(losses))
    print()
    print(report_by_name(losses, names))


def measure(translator: Translator, names: Sequence[str], verses: Sequence[str]) -> Losses:
    """Score each verse with each of the names. names: the right one of each verse."""
    choices = sorted(set(names))
    scored = [translator.score([choice] * len(verses), verses, batch_tokens=16_000) for choice in choices]
    loss_NV = -np.array([[score.log_prob for score in row] for row in scored])
    tokens_V = np.array([score.tokens for score in scored[0]])
    right_V = loss_NV[[choices.index(name) for name in names], np.arange(len(names))]
    wrong_V = (loss_NV.sum(axis=0) - right_V) / (len(choices) - 1)
    return Losses(right_V, wrong_V, right_V == loss_NV.min(axis=0), tokens_V)


def report(losses: Losses) -> str:
    """The figures over all verses."""
    verses = len(losses.tokens_V)
    lines = [f"{verses:,} verses, {losses.tokens_V.sum():,} tokens; loss in nats per token [95 % interval]"]
    for name, sums_V in losses.rows().items():
        lines.append(f"{name:<14}{_figure(sums_V, losses.tokens_V, '.4f')}")
    named = _figure(100.0 * losses.named_V, np.ones(verses), ".1f")
    return "\n".join([*lines, f"{'right book':<14}{named} % of the verses, by the likeliest name"])


def report_by_name(losses: Losses, names: Sequence[str]) -> str:
    """A line for each name."""
    lines = [f"{'book':<12}{'verses':>8}{'right':>9}{'wrong':>9}{'difference':>12}"]
    for name in dict.fromkeys(names):
        chosen_V = np.array(names) == name
        tokens = losses.tokens_V[chosen_V].sum()
        right, wrong, difference = (sums_V[chosen_V].sum() / tokens for sums_V in losses.rows().values())
        lines.append(f"{name:<12}{chosen_V.sum():>8}{right:>9.3f}{wrong:>9.3f}{difference:>+12.3f}")
    return "\n".join(lines)


def _figure(sums_V: np.ndarray, counts_V: np.ndarray, spec: str) -> str:
    low, high = interval(sums_V, counts_V)
    return f"{sums_V.sum() / counts_V.sum():{spec}} [{low:{spec}}, {high:{spec}}]"


def interval(sums_V: np.ndarray, counts_V: np.ndarray, resamples: int = 2000) -> tuple[float, float]:
    """95 % interval of Σ sums / Σ counts, over resamples of the verses; the same one every time."""
    random = np.random.default_rng(1)
    picks_RV = random.integers(len(sums_V), size=(resamples, len(sums_V)))
    ratios_R = sums_V[picks_RV].sum(axis=1) / counts_V[picks_RV].sum(axis=1)
    low, high = np.quantile(ratios_R, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
