"""Diverse beam search: groups of hypotheses that are kept from saying the same (Vijayakumar et al. 2018).

The beam is divided into groups of equal width. At each step they are extended one after the other, each as a beam of
its own, except that a symbol costs a group `diversity` nats for each hypothesis of the groups before that has just
taken it (the paper's Hamming diversity). The price decides what is kept at that step, the end of a sentence excepted,
which is free; it never enters log p of a hypothesis, nor its score.

A group has finished as soon as it has as many finished hypotheses as it is wide, or reaches the length limit. It takes
no symbols then, and makes none dearer. With one group this is beam search.

Shapes: B sentences still searched, S source positions, G groups, J open hypotheses of each group before a step (1 at
first), W after it (the beam / G, or fewer if there are not so many), C continuations of each, R = rows: a sentence's
group each, in the order of the sentences.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.search.beam import Candidates, within_beam
from s2s_cli.search.history import Hypothesis, Turn, hypotheses
from s2s_cli.search.options import SearchOptions
from s2s_cli.search.step_model import Step, StepModel
from s2s_cli.text.tokenizer import BOS, EOS, PAD


class _Groups(NamedTuple):
    """The groups of the sentences that are still searched."""

    rows_BG: Tensor  # place of each group among all of the input
    limits_BG: Tensor  # most symbols
    symbols_BGJ: Tensor  # last symbol of each open hypothesis
    log_probs_BGJ: Tensor  # log p of each open hypothesis; -inf where there is none, as in a group that has finished
    finished_BG: Tensor  # number of finished hypotheses

    def select(self, sentences_b: Tensor) -> _Groups:
        return _Groups(*(tensor[sentences_b] for tensor in self))


@torch.inference_mode()
def diverse_beam_search(
    model: StepModel, source_BS: Tensor, source_lengths_B: Tensor, options: SearchOptions
) -> list[list[Hypothesis]]:
    """The `n_best` best hypotheses of each sentence, of whatever groups, best first; fewer if there are not so many.

    What several groups have found stands there once. Arguments as of `beam_search`.
    """
    if len(source_BS) == 0:
        return []
    G, width = options.groups, options.beam // options.groups
    groups = _first_groups(options.length_limits(source_lengths_B), G)
    state = model.start(source_BS, source_lengths_B).reorder(torch.zeros_like(groups.rows_BG))
    turns: list[Turn] = []

    for length in range(1, int(groups.limits_BG.max()) + 1):  # of a hypothesis after this step, EOS included
        # 1. Predict the next symbol of each open hypothesis.
        step, state = model.step(groups.symbols_BGJ.flatten(1), state)

        # 2. Extend the groups, one after the other.
        pieces, priced_BGW, ended_BGJ = _extend(groups.log_probs_BGJ, step, options)

        # 3. End the hypotheses for which EOS is as good as the pieces kept, at their price.
        may_end = length > options.min_length
        ended_BGJ = within_beam(ended_BGJ, priced_BGW, width) if may_end else torch.full_like(ended_BGJ, -torch.inf)

        # 4. Remember. What a group still had open when it finished is no result.
        finished_BG = groups.finished_BG + (ended_BGJ > -torch.inf).sum(dim=2)
        is_full_BG1 = (finished_BG >= width)[:, :, None]
        pieces = pieces._replace(log_probs_BC=pieces.log_probs_BC.masked_fill(is_full_BG1, -torch.inf))
        turns.append(_turn(groups, pieces, ended_BGJ, step.attention_BKS))
        is_open_BG = (pieces.log_probs_BC > -torch.inf).any(dim=2) & (length < groups.limits_BG)
        groups = _Groups(groups.rows_BG, groups.limits_BG, pieces.symbols_BC, pieces.log_probs_BC, finished_BG)

        # 5. Let the sentences leave of which all groups are done.
        origins_BGW = pieces.origins_BC
        open_b = is_open_BG.any(dim=1).nonzero().squeeze(1)
        if len(open_b) == 0:
            break
        if len(open_b) < len(is_open_BG):
            groups, state, origins_BGW = groups.select(open_b), state.select(open_b), origins_BGW[open_b]

        # 6. Go on from the hypotheses that were extended.
        offsets_G1 = ended_BGJ.size(2) * torch.arange(G, device=origins_BGW.device)[:, None]
        state = state.reorder((origins_BGW + offsets_G1).flatten(1))

    found = hypotheses(turns, source_lengths_B.repeat_interleave(G), options.penalty, options.n_best)
    return [_best(found[row : row + G], options.n_best) for row in range(0, len(found), G)]


def _first_groups(limits_B: Tensor, count: int) -> _Groups:
    """One empty hypothesis for each group."""
    limits_BG = limits_B[:, None].repeat(1, count)
    return _Groups(
        rows_BG=torch.arange(limits_BG.numel(), device=limits_B.device).view_as(limits_BG),
        limits_BG=limits_BG,
        symbols_BGJ=torch.full_like(limits_BG, BOS)[:, :, None],
        log_probs_BGJ=torch.zeros_like(limits_BG, dtype=torch.float32)[:, :, None],
        finished_BG=torch.zeros_like(limits_BG),
    )


def _extend(log_probs_BGJ: Tensor, step: Step, options: SearchOptions) -> tuple[Candidates, Tensor, Tensor]:
    """What each group keeps (as [B, G, W]); log p of it less its price, [B, G, W]; log p of each hypothesis with EOS.

    All other groups together take no more than the beam less a group's width: so the best of a group, whatever the
    prices, are among the beam's number of best continuations of each of its hypotheses.
    """
    B, G, J = log_probs_BGJ.shape
    next_log_probs_BKC, symbols_BKC, ends_BK = step.best(EOS + 1, options.beam, EOS)
    sums_BGN = (log_probs_BGJ[:, :, :, None] + next_log_probs_BKC.unflatten(1, (G, J))).flatten(2)
    symbols_BGN = symbols_BKC.unflatten(1, (G, J)).flatten(2)
    width = min(options.beam // G, sums_BGN.size(2))
    taken_BX = symbols_BGN.new_zeros(B, 0)  # what the groups before have taken
    kept, priced = [], []
    for sums_BN, symbols_BN in zip(sums_BGN.unbind(1), symbols_BGN.unbind(1), strict=True):
        uses_BN = (symbols_BN[:, :, None] == taken_BX[:, None, :]).sum(dim=2)
        priced_BW, places_BW = (sums_BN - options.diversity * uses_BN).topk(width)
        chosen_BW, log_probs_BW = symbols_BN.gather(1, places_BW), sums_BN.gather(1, places_BW)
        origins_BW = places_BW.div(symbols_BKC.size(2), rounding_mode="floor")
        taken_BX = torch.cat([taken_BX, chosen_BW.masked_fill(log_probs_BW == -torch.inf, PAD)], dim=1)
        kept.append(Candidates(log_probs_BW, origins_BW, chosen_BW))
        priced.append(priced_BW)
    pieces = Candidates(*(torch.stack(tensors, dim=1) for tensors in zip(*kept, strict=True)))
    return pieces, torch.stack(priced, dim=1), log_probs_BGJ + ends_BK.unflatten(1, (G, J))


def _turn(groups: _Groups, pieces: Candidates, ended_BGJ: Tensor, attention_BKS: Tensor | None) -> Turn:
    """This step of the groups that had not finished before, each in a row of its own."""
    is_open_BG = (groups.log_probs_BGJ > -torch.inf).any(dim=2)
    attention_BGJS = None if attention_BKS is None else attention_BKS.unflatten(1, ended_BGJ.shape[1:])
    return Turn(
        groups.rows_BG[is_open_BG],
        ended_BGJ[is_open_BG],
        pieces.log_probs_BC[is_open_BG],
        pieces.origins_BC[is_open_BG],
        pieces.symbols_BC[is_open_BG],
        None if attention_BGJS is None else attention_BGJS[is_open_BG],
    )


def _best(groups: list[list[Hypothesis]], count: int) -> list[Hypothesis]:
    """The best of all groups: finished ones, then those that were cut, each sentence once."""
    ranked = sorted((each for found in groups for each in found), key=lambda each: (not each.finished, -each.score))
    distinct: dict[tuple[bool, tuple[int, ...]], Hypothesis] = {}
    for each in ranked:
        distinct.setdefault((each.finished, tuple(each.ids)), each)
    return list(distinct.values())[:count]
