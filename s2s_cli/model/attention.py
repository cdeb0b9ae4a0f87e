"""Attention: e_{t,j} = a(s, h_j), α_t = softmax_j(e_t) over the valid positions, c_t = Σ_j α_{t,j} h_j.

A new score a is one class here and one row of `SCORES`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from s2s_cli.model.dense import Dense
from s2s_cli.model.memory import Memory


class Score(nn.Module):
    """a(s, h): how well the state s fits to the source position h.

    state: H, width of the query. memory: M, width of the encoder's states. size: A, width of both after projection.
    """

    @abstractmethod
    def __init__(self, state: int, memory: int, size: int) -> None: ...

    def keys(self, states_BSM: Tensor) -> Tensor:
        """What does not depend on the query, made once a sentence: [B, S, A]."""
        return states_BSM

    @abstractmethod
    def forward(self, query_BXH: Tensor, keys_BSA: Tensor, past_BXS: Tensor | None) -> Tensor:
        """Energies e_BXS. past_BXS: attention that each position had so far, at least float32, with coverage."""


class AdditiveScore(Score):
    """a(s, h) = v · tanh(W s + U h) (Bahdanau et al. 2015, section 3.1)."""

    def __init__(self, state: int, memory: int, size: int) -> None:
        nn.Module.__init__(self)
        self.query = nn.Linear(state, size, bias=False)
        self.key = Dense(memory, size)
        self.energy = nn.Parameter(torch.empty(size))
        nn.init.uniform_(self.energy, -1 / math.sqrt(size), 1 / math.sqrt(size))

    def keys(self, states_BSM: Tensor) -> Tensor:
        return self.key(states_BSM)

    def forward(self, query_BXH: Tensor, keys_BSA: Tensor, past_BXS: Tensor | None) -> Tensor:
        return torch.tanh(self.query(query_BXH)[:, :, None] + keys_BSA[:, None]) @ self.energy


class CoverageScore(AdditiveScore):
    """a(s, h) = v · tanh(W s + U h + w Σ α): the linguistic coverage of Tu et al. 2016, section 3.1."""

    def __init__(self, state: int, memory: int, size: int) -> None:
        super().__init__(state, memory, size)
        self.coverage = nn.Parameter(torch.zeros(size))

    def forward(self, query_BXH: Tensor, keys_BSA: Tensor, past_BXS: Tensor | None) -> Tensor:
        assert past_BXS is not None
        sum_BXSA = self.query(query_BXH)[:, :, None] + keys_BSA[:, None] + past_BXS[..., None] * self.coverage
        return torch.tanh(sum_BXSA).to(self.energy.dtype) @ self.energy


class DotScore(Score):
    """a(s, h) = s · h (Luong et al. 2015, section 3.1)."""

    def __init__(self, state: int, memory: int, size: int) -> None:
        nn.Module.__init__(self)

    def forward(self, query_BXH: Tensor, keys_BSA: Tensor, past_BXS: Tensor | None) -> Tensor:
        return query_BXH @ keys_BSA.transpose(1, 2)


class ScaledDotScore(DotScore):
    """a(s, h) = s · h / √H (Vaswani et al. 2017, section 3.2.1)."""

    def forward(self, query_BXH: Tensor, keys_BSA: Tensor, past_BXS: Tensor | None) -> Tensor:
        return super().forward(query_BXH, keys_BSA, past_BXS) / math.sqrt(query_BXH.shape[-1])


class GeneralScore(DotScore):
    """a(s, h) = sᵀ W h (Luong et al. 2015, section 3.1)."""

    def __init__(self, state: int, memory: int, size: int) -> None:
        super().__init__(state, memory, size)
        self.query = nn.Linear(state, memory, bias=False)

    def forward(self, query_BXH: Tensor, keys_BSA: Tensor, past_BXS: Tensor | None) -> Tensor:
        return super().forward(self.query(query_BXH), keys_BSA, past_BXS)


SCORES: dict[str, type[Score]] = {
    "additive": AdditiveScore,
    "dot": DotScore,
    "scaled_dot": ScaledDotScore,
    "general": GeneralScore,
}


class Attention(nn.Module):
    """One or more heads, each a score over its share of the query and of the memory; contexts side by side.

    coverage_loss: weight of repeated attention in the loss of training.
    """

    def __init__(self, heads: list[Score], coverage_loss: float = 0.0) -> None:
        super().__init__()
        self.coverage_loss = coverage_loss
        self.heads = nn.ModuleList(heads)

    @property
    def covers(self) -> bool:
        """Whether the scores depend on the attention paid so far."""
        return isinstance(self.heads[0], CoverageScore)

    def keys(self, states_BSM: Tensor) -> tuple[Tensor, ...]:
        """The keys of each head, made once a sentence."""
        shares = states_BSM.chunk(len(self.heads), dim=-1)
        heads = cast(list[Score], self.heads)
        return tuple(head.keys(share) for head, share in zip(heads, shares, strict=True))

    def forward(self, query_BXH: Tensor, memory: Memory, past_BXS: Tensor | None) -> tuple[Tensor, Tensor]:
        """-> contexts c [B, X, M], attention α [B, X, S] (the mean over the heads)."""
        contexts, attentions = [], []
        queries = query_BXH.chunk(len(self.heads), dim=-1)
        values = memory.states_BSM.chunk(len(self.heads), dim=-1)
        for head, query, keys, value in zip(self.heads, queries, memory.keys, values, strict=True):
            energies_BXS = head(query, keys, past_BXS)
            energies_BXS = energies_BXS.masked_fill(~memory.valid_BS[:, None], -torch.inf)
            attention_BXS = torch.softmax(energies_BXS, dim=-1)
            contexts.append(attention_BXS.to(value.dtype) @ value)
            attentions.append(attention_BXS)
        if len(contexts) == 1:
            return contexts[0], attentions[0]
        return torch.cat(contexts, dim=-1), torch.stack(attentions).mean(dim=0)


def repeated_attention(attention_BTS: Tensor) -> Tensor:
    """Σ_j min(α_{t,j}, Σ_{t'<t} α_{t',j}) of each position, between 0 and 1 [B, T] (See et al. 2017, equation 12)."""
    past_BTS = attention_BTS.cumsum(dim=1) - attention_BTS
    return torch.minimum(attention_BTS, past_BTS).sum(dim=2)
