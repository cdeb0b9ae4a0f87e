"""How probable a model finds target sentences that are given."""

from __future__ import annotations

import numpy as np

from s2s_cli.search.step_model import StepModel
from s2s_cli.text.tokenizer import BOS, PAD


def forced_log_probs(
    model: StepModel, source_BS: np.ndarray, source_lengths_B: np.ndarray, target_BT: np.ndarray
) -> np.ndarray:
    """log p(y | x) of each pair, by feeding the model the given target instead of its own choice: float64 [B].

    target_BT: ids, each row ended by EOS (which counts) and filled up with PAD (which does not).
    """
    state = model.start(source_BS, source_lengths_B)
    total_B, rows_B = np.zeros(len(target_BT)), np.arange(len(target_BT))
    previous_B = np.full(len(target_BT), BOS)
    for target_B in target_BT.T:
        step, state = model.step(previous_B[:, None], state)
        log_prob_B = step.log_probs_of(rows_B, target_B)
        total_B += np.where(target_B == PAD, 0.0, log_prob_B)
        previous_B = target_B
    return total_B
