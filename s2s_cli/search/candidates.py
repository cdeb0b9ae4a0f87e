"""The best continuations of a batch of hypotheses, without touching each of the K·V candidates twice.

Shapes: B sentences, K open hypotheses of each, V symbols, C candidates kept.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.search.step_model import Ranks, Step

GROUP = 64  # symbols; of 16 to 256 the fastest on [64, 5, 8000] with a thread of a processor with 512-bit vectors


class Candidates(NamedTuple):
    """The C best candidates of each sentence, best first."""

    log_probs_BC: Tensor
    """log p of hypothesis and symbol together."""
    origins_BC: Tensor
    """The hypothesis that is continued."""
    symbols_BC: Tensor
    """The symbol that continues it."""


def best_continuations(log_probs_BK: Tensor, step: Step, first: int, count: int, end: int) -> tuple[Candidates, Tensor]:
    """The `count` best candidates among the symbols from `first` on; and log p of each hypothesis followed by `end`."""
    if isinstance(step, Ranks):
        next_log_probs_BKC, symbols_BKC, ends_BK = step.best(first, count, end)
        sums_BKC = log_probs_BK.unsqueeze(2) + next_log_probs_BKC
        origins_K1 = torch.arange(log_probs_BK.size(1), device=log_probs_BK.device).unsqueeze(1)
        every = (sums_BKC, origins_K1.expand_as(sums_BKC), symbols_BKC)
        candidates = Candidates(*(each.flatten(1) for each in every))
        return _best(candidates, min(count, candidates.log_probs_BC.size(1))), log_probs_BK + ends_BK
    log_probs_BKV = step.log_probs_BKV
    return best_candidates(log_probs_BK, log_probs_BKV, first, count), log_probs_BK + log_probs_BKV[:, :, end]


def best_candidates(log_probs_BK: Tensor, next_log_probs_BKV: Tensor, first: int, count: int) -> Candidates:
    """The `count` best sums of a hypothesis' log-probability and that of a symbol from `first` on.

    There are fewer than `count` where there are no more candidates. The C best candidates lie in the C groups of
    symbols with the best maxima, and maxima of groups are several times faster to take than a top-k: so the top-k
    is left with C groups, and with the rest of each row that makes no full group.
    """
    K, size = log_probs_BK.size(1), next_log_probs_BKV.size(2) - first
    count, groups = min(count, K * size), size // GROUP
    rest = first + groups * GROUP
    tail = _all_candidates(log_probs_BK, next_log_probs_BKV[:, :, rest:], rest)
    if groups == 0:
        return _best(tail, count)

    next_log_probs_BKGM = next_log_probs_BKV[:, :, first:rest].unflatten(2, (groups, GROUP))
    maxima_BKG = next_log_probs_BKGM.amax(3) + log_probs_BK.unsqueeze(2)
    winners_BC = maxima_BKG.flatten(1).topk(min(count, K * groups)).indices
    origins_BC, group_BC = winners_BC // groups, winners_BC % groups
    row_B1 = torch.arange(log_probs_BK.size(0), device=log_probs_BK.device).unsqueeze(1)
    members_M = torch.arange(first, first + GROUP, device=log_probs_BK.device)
    sums_BCM = next_log_probs_BKGM[row_B1, origins_BC, group_BC] + log_probs_BK.gather(1, origins_BC).unsqueeze(2)
    symbols_BCM = group_BC.unsqueeze(2) * GROUP + members_M
    body = Candidates(sums_BCM.flatten(1), origins_BC.repeat_interleave(GROUP, dim=1), symbols_BCM.flatten(1))
    return _best(Candidates(*(torch.cat(both, dim=1) for both in zip(body, tail, strict=True))), count)


def _all_candidates(log_probs_BK: Tensor, next_log_probs_BKV: Tensor, first: int) -> Candidates:
    B, K, size = next_log_probs_BKV.shape
    sums_BKV = log_probs_BK.unsqueeze(2) + next_log_probs_BKV
    origins_K1 = torch.arange(K, device=sums_BKV.device).unsqueeze(1)
    symbols_V = torch.arange(first, first + size, device=sums_BKV.device)
    return Candidates(
        sums_BKV.flatten(1),
        origins_K1.expand(B, K, size).flatten(1),
        symbols_V.expand(B, K, size).flatten(1),
    )


def _best(candidates: Candidates, count: int) -> Candidates:
    log_probs_BC, chosen_BC = candidates.log_probs_BC.topk(count)
    return Candidates(
        log_probs_BC, candidates.origins_BC.gather(1, chosen_BC), candidates.symbols_BC.gather(1, chosen_BC)
    )
