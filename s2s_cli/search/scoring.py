"""How probable a model finds target sentences that are given."""

from __future__ import annotations

import torch
from torch import Tensor

from s2s_cli.search.step_model import StepModel
from s2s_cli.text.tokenizer import BOS, PAD


def forced_log_probs(model: StepModel, source_BS: Tensor, source_lengths_B: Tensor, target_BT: Tensor) -> Tensor:
    """log p(y | x) of each pair, by feeding the model the given target instead of its own choice: float64 [B].

    target_BT: ids, each row ended by EOS (which counts) and filled up with PAD (which does not).
    """
    state = model.start(source_BS, source_lengths_B)
    total_B = torch.zeros(len(target_BT), dtype=torch.float64, device=target_BT.device)
    previous_B = torch.full_like(target_BT[:, 0], BOS)
    for target_B in target_BT.unbind(dim=1):
        step, state = model.step(previous_B[:, None], state)
        log_prob_B = step.log_probs_of(target_B[:, None]).squeeze(1)
        total_B += log_prob_B.double().masked_fill(target_B == PAD, 0.0)
        previous_B = target_B
    return total_B
