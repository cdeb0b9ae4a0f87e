"""Greedy search: y_t = argmax p(y | y_1 .. y_{t-1}, x). The same as a beam of one, and cheaper."""

from __future__ import annotations

import numpy as np

from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.paths import follow_paths
from s2s_cli.search.step_model import Step, StepModel
from s2s_cli.text.tokenizer import EOS


def greedy_search(
    model: StepModel,
    source_BS: np.ndarray,
    source_lengths_B: np.ndarray,
    options: SearchOptions,
    room_B: np.ndarray | int = 0,
) -> list[list[Hypothesis]]:
    """One hypothesis for each sentence, whatever `beam` and `n_best` say. Arguments as of `beam_search`."""
    return follow_paths(model, source_BS, source_lengths_B, options, _most_probable, room_B=room_B)


def _most_probable(step: Step, first: int, sentences_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    log_probs_BK1, symbols_BK1, _ = step.best(first, count=1, end=EOS)
    return symbols_BK1[:, :, 0], log_probs_BK1[:, :, 0]
