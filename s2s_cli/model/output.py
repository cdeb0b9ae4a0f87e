"""Outputs: from what the decoder knows of a position to the distribution of the symbol that stands there.

A new output is one class here and one row of `OUTPUTS`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, logsigmoid
from torch.utils.checkpoint import checkpoint

from s2s_cli.model.dense import Dense
from s2s_cli.model.features import Features
from s2s_cli.model.kernels.backend import wide_type
from s2s_cli.model.kernels.cross_entropy import CHUNK, fused_cross_entropy, fused_log_probs
from s2s_cli.model.memory import Memory
from s2s_cli.text.tokenizer import EOS


@dataclass(frozen=True)
class Decoded:
    """What an output may see: of each position the readout, the features and the embedding of y_{t-1}; the source."""

    readout_BXR: Tensor
    features: Features
    embedded_BXE: Tensor
    memory: Memory

    def evidence(self) -> Tensor:
        """s_t, c_t (where the output of the decoder does not hold it) and y_{t-1}, side by side [B, X, H + M + E]."""
        parts = (self.features.output_BXH, self.features.context_BXM, self.embedded_BXE)
        return torch.cat([part for part in parts if part is not None], dim=-1)

    def select(self, sentences_b: Tensor | slice) -> Decoded:
        """The same of these sentences."""
        return Decoded(
            self.readout_BXR[sentences_b],
            self.features.select(sentences_b),
            self.embedded_BXE[sentences_b],
            self.memory.select(sentences_b),
        )


class Output(Dense):
    """p(y_t | y_<t, x). As a layer it projects readouts to the vocabulary, [.., R] -> [.., V].

    readout: R. symbols: V. evidence: width of all that the decoder knows of a position, see `Decoded.evidence`.
    """

    def __init__(self, readout: int, symbols: int, evidence: int) -> None:
        super().__init__(readout, symbols)

    def forbid(self, symbols: Collection[int]) -> None:
        """From now on, the probability of these symbols is 0, and no loss is finite."""
        bias_V = self.bias.detach().clone()
        bias_V[list(symbols)] = -torch.inf
        self.bias = nn.Parameter(bias_V, requires_grad=self.bias.requires_grad)

    def log_softmax(self, readout_XR: Tensor) -> Tensor:
        """log softmax(W r + b), at least float32 [..., V]."""
        logits_XV = self(readout_XR)
        return torch.log_softmax(logits_XV, dim=-1, dtype=wide_type(logits_XV.dtype))

    @abstractmethod
    def log_probs(self, decoded: Decoded) -> Tensor:
        """log p of every symbol at every position, at least float32 [B, X, V]."""

    @abstractmethod
    def loss(
        self, decoded: Decoded, target_BT: Tensor, valid_BT: Tensor, smoothing: float, divergence: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Sums over the valid positions of the label-smoothed loss and of −log p(target), the latter not
        differentiable.

        smoothing: share of the wanted distribution that is spread evenly over all symbols. divergence: weight in the
        loss of KL(p‖q) + KL(q‖p), p and q at the same position of two passes over the same pairs: the second half of
        the rows repeats the first.
        """

    @abstractmethod
    def target_log_probs(self, decoded: Decoded, target_BT: Tensor, valid_BT: Tensor) -> Tensor:
        """log p(target) at each of the N valid positions, differentiable, at least float32 [N]."""


class SoftmaxOutput(Output):
    """p = softmax(W r_t + b)."""

    def log_probs(self, decoded: Decoded) -> Tensor:
        return self.log_softmax(decoded.readout_BXR)

    def loss(
        self, decoded: Decoded, target_BT: Tensor, valid_BT: Tensor, smoothing: float, divergence: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Padding is left out before the projection, not masked after it."""
        readout_NR = decoded.readout_BXR[valid_BT]
        return fused_cross_entropy(readout_NR, self.weight, self.bias, target_BT[valid_BT], smoothing, divergence)

    def target_log_probs(self, decoded: Decoded, target_BT: Tensor, valid_BT: Tensor) -> Tensor:
        return fused_log_probs(decoded.readout_BXR[valid_BT], self.weight, self.bias, target_BT[valid_BT])


class CopyOutput(Output):
    """The pointer-generator: p(w) = p_gen P(w) + (1 − p_gen) Σ_{j: x_j = w} α_j, where P is the softmax and
    p_gen = σ(w · [s_t; c_t; y_{t-1}] + b) (See et al. 2017, section 2.2).

    Both sides have one vocabulary, whose pieces make up every word: no symbol exists in one sentence alone. Special
    symbols are not copied, for EOS would end the target: the share of attention that they have goes to P,
    p(w) = (1 − (1 − p_gen) m) P(w) + (1 − p_gen) Σ α_j with m the attention on copied positions, and the sum is 1.
    """

    def __init__(self, readout: int, symbols: int, evidence: int) -> None:
        super().__init__(readout, symbols, evidence)
        self.gate = nn.Linear(evidence, 1)
        self.forbidden: list[int] = []

    def forbid(self, symbols: Collection[int]) -> None:
        """They are not copied either: as with special symbols, the attention that they have goes to P."""
        super().forbid(symbols)
        self.forbidden += symbols

    def log_probs(self, decoded: Decoded) -> Tensor:
        mixture = self._mixture(decoded)
        written_BXV = self.log_softmax(decoded.readout_BXR) + mixture.write_BX1
        symbols_BXS = decoded.memory.source_BS[:, None].expand_as(mixture.copy_BXS)
        return written_BXV.scatter_add(-1, symbols_BXS, mixture.gains(written_BXV.gather(-1, symbols_BXS)))

    def loss(
        self, decoded: Decoded, target_BT: Tensor, valid_BT: Tensor, smoothing: float, divergence: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Smoothing spreads its share over the mixture, as it does over a softmax."""
        expected_N, mean = self._expected(decoded, target_BT, valid_BT)
        likelihood = -expected_N.sum()
        smoothed = (1 - smoothing) * likelihood - smoothing * mean
        if divergence:
            smoothed = smoothed + divergence * self._divergence(decoded, valid_BT)
        return smoothed, likelihood.detach()

    def target_log_probs(self, decoded: Decoded, target_BT: Tensor, valid_BT: Tensor) -> Tensor:
        return self._expected(decoded, target_BT, valid_BT)[0]

    def _expected(self, decoded: Decoded, target_BT: Tensor, valid_BT: Tensor) -> tuple[Tensor, Tensor]:
        """log p of each target [N]; and the mean of log p of all symbols, summed over the positions.

        Logits exist for `CHUNK` rows at a time; where there are more, they are made anew for the gradient.
        """
        mixture, readout_NR = self._mixture(decoded).rows(valid_BT), decoded.readout_BXR[valid_BT]
        sources_NS, targets_N1 = decoded.memory.source_BS[valid_BT.nonzero()[:, 0]], target_BT[valid_BT][:, None]
        symbols_NK = torch.cat([sources_NS, targets_N1], dim=1)
        project = self._written
        if len(readout_NR) > CHUNK:
            project = partial(checkpoint, self._written, use_reentrant=False, preserve_rng_state=False)
        chunks = zip(readout_NR.split(CHUNK), symbols_NK.split(CHUNK), strict=True)
        written_NK, mean_N1 = map(torch.cat, zip(*(project(*chunk) for chunk in chunks), strict=True))
        written_NK, mean_N1 = written_NK + mixture.write_BX1, mean_N1 + mixture.write_BX1
        gains_NS = mixture.gains(written_NK[:, :-1])
        expected_N = written_NK[:, -1] + (gains_NS * (sources_NS == targets_N1)).sum(dim=1)
        return expected_N, mean_N1.sum() + gains_NS.sum() / self.out_features

    def _divergence(self, decoded: Decoded, valid_BT: Tensor) -> Tensor:
        """Σ (p − q)(log p − log q) of the two halves, for a few pairs at a time and made anew for the gradient."""
        pairs, at_a_time = len(valid_BT) // 2, max(1, CHUNK // (2 * valid_BT.shape[1]))
        total = torch.zeros((), dtype=wide_type(decoded.readout_BXR.dtype), device=valid_BT.device)
        for rows in torch.arange(pairs, device=valid_BT.device).split(at_a_time):
            both = decoded.select(torch.cat([rows, rows + pairs]))
            arguments = (self._divergence_of, both, valid_BT[rows])
            total = total + checkpoint(*arguments, use_reentrant=False, preserve_rng_state=False)
        return total

    def _divergence_of(self, decoded: Decoded, valid_BT: Tensor) -> Tensor:
        log_p, log_q = (half_BTV[valid_BT] for half_BTV in self.log_probs(decoded).chunk(2))
        return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum()

    def _written(self, readout_NR: Tensor, symbols_NK: Tensor) -> tuple[Tensor, Tensor]:
        """log P of these symbols [N, K], and its mean over all [N, 1]."""
        log_probs_NV = self.log_softmax(readout_NR)
        return log_probs_NV.gather(1, symbols_NK), log_probs_NV.mean(dim=1, keepdim=True)

    def _mixture(self, decoded: Decoded) -> Mixture:
        memory, attention_BXS = decoded.memory, decoded.features.attention_BXS
        assert attention_BXS is not None
        wide = wide_type(attention_BXS.dtype)
        copied_BS = memory.source_BS > EOS  # padding, whatever stands there, has no attention
        if self.forbidden:
            copied_BS &= ~torch.isin(memory.source_BS, memory.source_BS.new_tensor(self.forbidden))
        same_BSS = (memory.source_BS[:, :, None] == memory.source_BS[:, None]) & copied_BS[:, :, None]
        with torch.autocast(attention_BXS.device.type, enabled=False):
            attention_BXS = attention_BXS.to(wide)
            attention_BXS = attention_BXS / attention_BXS.sum(dim=-1, keepdim=True)  # which bfloat16 has rounded
            gate_BX1 = linear(decoded.evidence().to(wide), self.gate.weight.to(wide), self.gate.bias.to(wide))
            rest_BX1 = (attention_BXS * ~copied_BS[:, None]).sum(dim=-1, keepdim=True)
            write_BX1 = torch.logaddexp(logsigmoid(gate_BX1), logsigmoid(-gate_BX1) + _log(rest_BX1))
            copy_BXS = logsigmoid(-gate_BX1) + _log(attention_BXS @ same_BSS.to(wide))
        return Mixture(write_BX1, copy_BXS, (copied_BS / same_BSS.sum(dim=1).clamp(min=1))[:, None].to(wide))


class Mixture(NamedTuple):
    """How a distribution P is mixed with the attention, as logarithms: no share is so small that it is lost.

    write_BX1: of the weight of P. copy_BXS: of the probability that the symbol of a position is copied, from wherever
    it stands. share_BXS: 1 over the number of positions with the symbol of this one; 0 where nothing is copied.
    """

    write_BX1: Tensor
    copy_BXS: Tensor
    share_BXS: Tensor

    def gains(self, written_BXS: Tensor) -> Tensor:
        """What copying adds to the log p of the symbol of each position, whose positions have equal parts of it.

        P of what is not copied may be 0, whose logarithm is infinite: that of a forbidden symbol.
        """
        excess_BXS = (self.copy_BXS - written_BXS).masked_fill(self.share_BXS == 0, 0.0)
        return self.share_BXS * torch.logaddexp(excess_BXS, torch.zeros_like(excess_BXS))

    def rows(self, valid_BX: Tensor) -> Mixture:
        """The same of the valid positions alone, [N, ...]."""
        return Mixture(*(part.expand(*valid_BX.shape, -1)[valid_BX] for part in self))


def _log(shares: Tensor) -> Tensor:
    """A finite logarithm, with a finite derivative, also of nothing."""
    return shares.clamp(min=torch.finfo(shares.dtype).tiny).log()


OUTPUTS: dict[str, type[Output]] = {"softmax": SoftmaxOutput, "copy": CopyOutput}
