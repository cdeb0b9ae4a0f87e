"""Minimum risk training (Shen et al. 2016, "Minimum Risk Training for Neural Machine Translation"; Edunov et al. 2018,
"Classical Structured Prediction Losses for Sequence to Sequence Learning").

For each pair (x, y) the model writes candidates u, of which each costs Δ(u) = 1 − score(u, y). The risk is the expected
cost R = Σ_u Q(u) Δ(u) under the model's distribution, sharpened by α and renormalised over the candidates:
Q(u) ∝ exp(α log p(u|x) / |u|). Log-probabilities are means per token, as those of Edunov et al.: in the sums of Shen et
al. a short candidate outweighs a longer one that is as good. The derivative of R for log p of a token of u is
α Q(u) (Δ(u) − R) / |u|: small by α, by the length, by Q with many candidates, and by costs that hardly differ, as those
of most candidates do. So the costs of the n candidates for a source are stretched to reach from 0 to 1, as the code of
Edunov et al. can do, and the loss of a pair is R |y| n / α. As the cross-entropy, it is a sum over target tokens; its
derivative for a token of a candidate that is as long as y and as probable as the others is Δ(u) − R, where that of the
cross-entropy is −1 for a token of y.

The search runs without dropout, so that candidates are what the model translates; what its length limit cuts counts as
ended there. Their log-probabilities have dropout, the same of the encoder for all candidates of a source.

Shapes: B pairs, C candidates of each, N candidates of all pairs that differ from the others of their source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from s2s_cli.data.batches import padded
from s2s_cli.inference.translator import STEP_SCORES
from s2s_cli.model.dropout import random_bytes
from s2s_cli.model.output import Decoded
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema
from s2s_cli.search.beam import beam_search
from s2s_cli.search.history import Hypothesis
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.search.sampling import sample
from s2s_cli.search.step_model import StepModel
from s2s_cli.text.similarity import Utility
from s2s_cli.training.batches import Batch
from s2s_cli.training.decoding import build_step_model
from s2s_cli.training.loss import Loss, loss_of, shift_right, valid_positions

Ids = list[int]


@dataclass(frozen=True)
class Writer:
    """Writes candidates and compares them with references.

    section: of the recipe, for the model. options: of the search, whose lengths and penalty are also those of the
    candidates. dtype: that a search by PyTorch computes in. decode: from ids to text. utility: how like texts are.
    forbidden: symbols that are not written, such as tags.
    """

    section: schema.Model
    options: SearchOptions
    dtype: torch.dtype
    decode: Callable[[Sequence[int]], str]
    utility: Utility
    forbidden: tuple[int, ...] = ()

    def write(self, model: Seq2Seq, batch: Batch) -> list[list[Ids]]:
        """The different candidates for each source: one or more, without EOS."""
        device = batch.source_BS.device
        at_once = max(1, STEP_SCORES // (self.options.width * model.vocabulary))
        source_BS, source_lengths_B = batch.source_BS.numpy(force=True), batch.source_lengths_B.numpy(force=True)
        parts = [slice(first, first + at_once) for first in range(0, len(source_BS), at_once)]
        with torch.autocast(device.type, enabled=False):
            decoder = build_step_model(model, self.section, "auto", device, self.dtype, forbidden=self.forbidden)
            found = [some for part in parts for some in self._search(decoder, source_BS[part], source_lengths_B[part])]
        return [list({tuple(each.ids): each.ids for each in some}.values()) for some in found]

    def _search(self, model: StepModel, source_BS: np.ndarray, source_lengths_B: np.ndarray) -> list[list[Hypothesis]]:
        if self.options.sampling is None:
            return beam_search(model, source_BS, source_lengths_B, self.options)
        seed = int(random_bytes((8,), torch.device("cpu")).view(torch.int64))  # from this thread's stream, like a mask
        options = replace(self.options, sampling=SamplingOptions(seed=seed % 2**63))
        return sample(model, source_BS, source_lengths_B, options)

    def costs(self, candidates: Sequence[Ids], reference: Ids) -> list[float]:
        """Of each candidate, from 0 to 1."""
        texts = [self.decode(ids) for ids in (*candidates, reference)]
        return (1 - self.utility(texts)[:-1, -1] / 100).tolist()


class MinimumRisk:
    """mix × label-smoothed cross-entropy of the references + (1 − mix) × risk: the weighted combination of Edunov et
    al. reference: whether each is among the candidates for its source. sharpness: α."""

    def __init__(self, smoothing: float, writer: Writer, *, reference: bool, sharpness: float, mix: float) -> None:
        self.smoothing, self.writer = smoothing, writer
        self.reference, self.sharpness, self.mix = reference, sharpness, mix

    def __call__(self, model: Seq2Seq, batch: Batch) -> Loss:
        B, references = len(batch.pairs), _references(batch)
        candidates = self.writer.write(model, batch)
        if self.reference:
            candidates = list(map(_with_reference, candidates, references))
        costs = list(map(self.writer.costs, candidates, references))

        # One pass over the references and, after them, the candidates of all pairs.
        device, sizes_B = batch.source_BS.device, torch.tensor([len(some) for some in candidates])
        pairs_B = torch.arange(B)
        owners = torch.cat([pairs_B, pairs_B.repeat_interleave(sizes_B)]).to(device)
        targets, lengths = (torch.from_numpy(part).to(device) for part in padded([*references, *chain(*candidates)]))
        decoded = model(batch.source_BS, batch.source_lengths_B, shift_right(targets), owners)
        loss = loss_of(model, decoded.select(slice(B)), targets[:B], lengths[:B], self.smoothing)
        scores_N = mean_log_probs(model, decoded.select(slice(B, None)), targets[B:], lengths[B:])

        sizes_B = sizes_B.to(device)
        stretched_N, plain_N = (scores_N.new_tensor(list(chain(*each))) for each in (map(stretched, costs), costs))
        risks_B = expected_costs(self.sharpness * scores_N, stretched_N, sizes_B)
        risk = (risks_B * sizes_B * batch.target_lengths_B).sum() / self.sharpness
        plain_B = expected_costs(self.sharpness * scores_N.detach(), plain_N, sizes_B)
        return loss._replace(
            smoothed=self.mix * loss.smoothed + (1 - self.mix) * risk, risk=(plain_B * batch.target_lengths_B).sum()
        )


def _references(batch: Batch) -> list[Ids]:
    """Without EOS."""
    lengths = batch.target_lengths_B.tolist()
    return [ids[: length - 1] for ids, length in zip(batch.target_BT.tolist(), lengths, strict=True)]


def _with_reference(candidates: list[Ids], reference: Ids) -> list[Ids]:
    return candidates if reference in candidates else [*candidates, reference]


def stretched(costs: Sequence[float]) -> list[float]:
    """From 0 for the least to 1 for the greatest; 0 where all are equal."""
    least, spread = min(costs), max(costs) - min(costs)
    return [(cost - least) / spread if spread else 0.0 for cost in costs]


def mean_log_probs(model: Seq2Seq, decoded: Decoded, target_NT: Tensor, lengths_N: Tensor) -> Tensor:
    """log p of each target over its length, ends of sentences included [N]."""
    valid_NT = valid_positions(target_NT, lengths_N)
    log_probs = model.output.target_log_probs(decoded, target_NT, valid_NT)
    return log_probs.new_zeros(valid_NT.shape).masked_scatter(valid_NT, log_probs).sum(dim=1) / lengths_N


def expected_costs(scores_N: Tensor, costs_N: Tensor, sizes_B: Tensor) -> Tensor:
    """Σ Q Δ over the candidates for each source, where Q is the softmax of their scores [B]; sizes: their numbers."""
    is_there_BC = torch.arange(int(sizes_B.max()), device=sizes_B.device) < sizes_B[:, None]
    scores_BC = scores_N.new_full(is_there_BC.shape, -torch.inf).masked_scatter(is_there_BC, scores_N)
    costs_BC = costs_N.new_zeros(is_there_BC.shape).masked_scatter(is_there_BC, costs_N)
    return (scores_BC.softmax(dim=1) * costs_BC).sum(dim=1)
