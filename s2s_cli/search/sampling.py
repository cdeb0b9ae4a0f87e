"""Sampling: draw translations from the model's own distribution, or from a sharper or flatter one."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.search.paths import follow_paths
from s2s_cli.search.step_model import Step, StepModel, at


def sample(
    model: StepModel,
    source_BS: Tensor,
    source_lengths_B: Tensor,
    options: SearchOptions,
    sampling: SamplingOptions,
    generator: torch.Generator,
) -> list[list[Hypothesis]]:
    """`sampling.count` independent draws for each sentence, best score first; a translation may come twice.

    The log-probabilities are the model's, whatever the temperature. The sentences of a batch share the generator, so
    a sentence's draws depend on what else is in the batch. Other arguments as of `beam_search`.
    """
    draw = partial(_draw, sampling=sampling, generator=generator)
    return follow_paths(model, source_BS, source_lengths_B, options, draw, sampling.count)


def _draw(step: Step, first: int, sampling: SamplingOptions, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    log_probs_BKV = step.log_probs()
    logits_RV = log_probs_BKV[:, :, first:].flatten(0, 1) / sampling.temperature
    if sampling.top_k is None:
        indices_R1 = _draw_index(logits_RV, generator)
    else:
        best_RC, best_indices_RC = logits_RV.topk(min(sampling.top_k, logits_RV.size(1)))
        indices_R1 = best_indices_RC.gather(1, _draw_index(best_RC, generator))
    symbols_BK = first + indices_R1.view(log_probs_BKV.shape[:2])
    return symbols_BK, at(log_probs_BKV, symbols_BK)


def _draw_index(logits_RV: Tensor, generator: torch.Generator) -> Tensor:
    return torch.multinomial(logits_RV.softmax(dim=1), num_samples=1, generator=generator)
