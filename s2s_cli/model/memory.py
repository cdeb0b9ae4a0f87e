"""What the encoder hands to the decoder, and how the context C is made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Memory:
    """The encoded source sentences of a batch; one row a sentence, whatever the number of its hypotheses.

    states_BSM: h_1..h_N. valid_BS: True where there is a word, not padding. summary_BM: C.
    source_BS: the words themselves. keys: the states as the attention wants them (made once a sentence), or nothing.
    """

    states_BSM: Tensor
    valid_BS: Tensor
    summary_BM: Tensor
    source_BS: Tensor
    keys: tuple[Tensor, ...] = ()

    def select(self, sentences_b: Tensor | slice) -> Memory:
        """Keep these sentences, in this order."""
        return replace(
            self,
            states_BSM=self.states_BSM[sentences_b],
            valid_BS=self.valid_BS[sentences_b],
            summary_BM=self.summary_BM[sentences_b],
            source_BS=self.source_BS[sentences_b],
            keys=tuple(keys[sentences_b] for keys in self.keys),
        )


def last_state(states_BSM: Tensor, valid_BS: Tensor, directions: int) -> Tensor:
    """C = h_N; with two directions, the end of each: forward at the last word, backward at the first (Cho 2014)."""
    last_B = valid_BS.sum(dim=1) - 1
    rows_B = torch.arange(len(last_B), device=last_B.device)
    if directions == 1:
        return states_BSM[rows_B, last_B]
    half = states_BSM.shape[-1] // 2
    return torch.cat([states_BSM[rows_B, last_B, :half], states_BSM[:, 0, half:]], dim=-1)


def mean_state(states_BSM: Tensor, valid_BS: Tensor, directions: int) -> Tensor:
    """C = the mean of h_1..h_N."""
    weights_BS = valid_BS.to(states_BSM.dtype) / valid_BS.sum(dim=1, keepdim=True)
    return torch.einsum("bs,bsm->bm", weights_BS, states_BSM)


def max_state(states_BSM: Tensor, valid_BS: Tensor, directions: int) -> Tensor:
    """C = the elementwise maximum of h_1..h_N."""
    return states_BSM.masked_fill(~valid_BS[:, :, None], -torch.inf).amax(dim=1)


Summary = Callable[[Tensor, Tensor, int], Tensor]
SUMMARIES: dict[str, Summary] = {"last": last_state, "mean": mean_state, "max": max_state}
