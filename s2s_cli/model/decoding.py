"""A PyTorch model as search knows one: arrays in, arrays out, and between them tensors on the model's device.

Of a prediction only what is asked for leaves the device: C symbols of each hypothesis, not all V of them.

Shapes: as of `s2s_cli.search.step_model`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from s2s_cli.model.decoder import DecoderState
from s2s_cli.model.seq2seq import Prediction, Seq2Seq
from s2s_cli.search import step_model
from s2s_cli.search.step_model import Best, Step

GROUP = 64  # symbols; of 16 to 256 the fastest on [64, 5, 8000] with a thread of a processor with 512-bit vectors


@dataclass(frozen=True)
class DecodingState:
    """What the decoder remembers, and where that is."""

    decoder: DecoderState
    device: torch.device

    @torch.inference_mode()
    def reorder(self, origin_BK: np.ndarray) -> DecodingState:
        return DecodingState(self.decoder.reorder(_tensor(origin_BK, self.device)), self.device)

    @torch.inference_mode()
    def select(self, sentences_b: np.ndarray) -> DecodingState:
        return DecodingState(self.decoder.select(_tensor(sentences_b, self.device)), self.device)


@dataclass(frozen=True)
class DecodingStep:
    """A prediction that stays on the model's device."""

    prediction: Prediction

    @property
    def attention_BKS(self) -> np.ndarray | None:
        attention_BKS = self.prediction.attention_BKS
        return None if attention_BKS is None else _array(attention_BKS)

    def best(self, first: int, count: int, end: int) -> Best:
        return _best(self.prediction.log_probs_BKV, first, count, end)

    def best_of_mean(self, steps: Sequence[Step], first: int, count: int, end: int) -> Best:
        """On the device, if all are of this kind and on the same one."""
        members = [step.prediction.log_probs_BKV for step in steps if isinstance(step, DecodingStep)]
        if len(members) < len(steps) or len({log_probs_BKV.device for log_probs_BKV in members}) > 1:
            return step_model.best_of_mean(steps, first, count, end)
        return _best(mean_probability(members), first, count, end)

    @torch.inference_mode()
    def log_probs_of(self, rows_P: np.ndarray, symbols_P: np.ndarray) -> np.ndarray:
        log_probs_RV = self.prediction.log_probs_BKV.flatten(0, 1)
        return _array(log_probs_RV[_tensor(rows_P, log_probs_RV.device), _tensor(symbols_P, log_probs_RV.device)])

    def log_probs(self) -> np.ndarray:
        return _array(self.prediction.log_probs_BKV)


class Decoding:
    """Decodes by a model, which is in evaluation mode, on the device and in the number type where it is."""

    def __init__(self, model: Seq2Seq) -> None:
        self.model, self.vocabulary = model, model.vocabulary
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def start(
        self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: Sequence[Collection[int]] = ()
    ) -> DecodingState:
        """Encode; one hypothesis a sentence. All symbols are admitted."""
        source = (_tensor(source_BS, self.device), _tensor(source_lengths_B, self.device))
        return DecodingState(self.model.start(*source), self.device)

    @torch.inference_mode()
    def step(self, previous_BK: np.ndarray, state: DecodingState) -> tuple[DecodingStep, DecodingState]:
        """Append one symbol to each hypothesis."""
        prediction, following = self.model.step(_tensor(previous_BK, self.device), state.decoder)
        return DecodingStep(prediction), DecodingState(following, self.device)


def _tensor(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array).to(device)


def _array(tensor: Tensor) -> np.ndarray:
    """NumPy has no bfloat16."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy(force=True)


@torch.inference_mode()
def _best(log_probs_BKV: Tensor, first: int, count: int, end: int) -> Best:
    log_probs_BKC, symbols_BKC = greatest(log_probs_BKV[:, :, first:], count)
    return _array(log_probs_BKC), _array(symbols_BKC + first), _array(log_probs_BKV[:, :, end])


@torch.inference_mode()
def mean_probability(log_probs: Sequence[Tensor]) -> Tensor:
    """log of the mean of the probabilities."""
    return torch.stack(list(log_probs)).logsumexp(dim=0) - math.log(len(log_probs))


def greatest(values_BKV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The same as `topk` along the last dimension: values and indices, [B, K, C]. How: see the one of `step_model`."""
    size = values_BKV.size(2)
    groups, count = size // GROUP, min(count, size)
    if groups <= count:
        return values_BKV.topk(count)
    rest = groups * GROUP
    values_BKGM = values_BKV[:, :, :rest].unflatten(2, (groups, GROUP))
    chosen_BKC = values_BKGM.amax(3).topk(count).indices
    members_BKN = (chosen_BKC[..., None] * GROUP + torch.arange(GROUP, device=values_BKV.device)).flatten(2)
    tail = torch.arange(rest, size, device=values_BKV.device).expand(*values_BKV.shape[:2], -1)
    indices_BKN = torch.cat([members_BKN, tail], dim=2)
    found_BKC, places_BKC = values_BKV.gather(2, indices_BKN).topk(count)
    return found_BKC, indices_BKN.gather(2, places_BKC)
