"""Sampling: draw translations from the model's own distribution, or from a sharper or flatter one.

A draw of a softmax is the symbol of the greatest log p − log E, where each symbol has an E of its own from the
exponential distribution (the Gumbel-max trick: Maddison et al. 2014, "A* Sampling", section 2). Each draw of a sentence
has a random stream of its own, so that nothing else in a batch has a part in it; and rounding, which does depend on the
batch, matters only where two symbols come as close as that, however large the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.search.paths import follow_paths
from s2s_cli.search.step_model import Step, StepModel, at, greatest

Place = tuple[int, ...]
"""Where a sentence stands: the number of its line, and its number in the line, or whatever tells it from others."""


def sample(
    model: StepModel,
    source_BS: np.ndarray,
    source_lengths_B: np.ndarray,
    options: SearchOptions,
    places: Sequence[Place] | None = None,
    room_B: np.ndarray | int = 0,
) -> list[list[Hypothesis]]:
    """`options.n_best` independent draws for each sentence, in the order drawn; a translation may come twice.

    The seed and a sentence's place decide its draws, of which the first are the same however many there are. places: by
    default their numbers in the batch. The log-probabilities are the model's, whatever the temperature. Other arguments
    as of `beam_search`.
    """
    sampling, count = options.sampling or SamplingOptions(), options.n_best
    places = [(number,) for number in range(len(source_BS))] if places is None else places
    streams = [[np.random.default_rng([sampling.seed, *place, draw]) for draw in range(count)] for place in places]
    return follow_paths(model, source_BS, source_lengths_B, options, _Draw(sampling, streams), count, room_B)


@dataclass(frozen=True)
class _Draw:
    """Chooses symbols at random. streams: one for each path of each sentence in the input."""

    sampling: SamplingOptions
    streams: list[list[np.random.Generator]]

    def __call__(self, step: Step, first: int, sentences_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        log_probs_BKV = step.log_probs()
        V = log_probs_BKV.shape[2]
        streams_BK = [self.streams[place] for place in sentences_B.tolist()]
        draws_BKV = [[stream.standard_exponential(V) for stream in streams] for streams in streams_BK]
        noise_BKV = np.log(np.array(draws_BKV, log_probs_BKV.dtype))
        logits_BKV = kept(log_probs_BKV[:, :, first:] / self.sampling.temperature, self.sampling)
        symbols_BK = first + (logits_BKV - noise_BKV[:, :, first:]).argmax(axis=2)
        return symbols_BK, at(log_probs_BKV, symbols_BK)


def kept(logits_BKV: np.ndarray, sampling: SamplingOptions) -> np.ndarray:
    """The logits of what may be drawn, -inf for the rest.

    First the `top_k` are taken; of these, as if there were no others, the nucleus of `top_p` (Holtzman et al. 2020,
    "The Curious Case of Neural Text Degeneration", section 3.1): the most probable symbols up to and including the one
    with which their sum reaches it.
    """
    if sampling.top_k is None and sampling.top_p == 1.0:
        return logits_BKV
    best_BKC, indices_BKC = greatest(logits_BKV, sampling.top_k or logits_BKV.shape[2])
    weights_BKC = np.exp(best_BKC - best_BKC[:, :, :1], dtype=np.float64)
    probabilities_BKC = weights_BKC / weights_BKC.sum(axis=2, keepdims=True)
    before_BKC = probabilities_BKC.cumsum(axis=2) - probabilities_BKC
    best_BKC[before_BKC >= sampling.top_p] = -np.inf
    kept_BKV = np.full_like(logits_BKV, -np.inf)
    np.put_along_axis(kept_BKV, indices_BKC, best_BKC, axis=2)
    return kept_BKV
