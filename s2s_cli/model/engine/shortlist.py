"""A lexical shortlist: which target symbols a sentence may use (Jean et al. 2015, section 3.3; Devlin 2017, section 4).

Most of a step is the product with the output weights, one row for each target symbol. A source sentence needs few of
them: those that its own symbols were translated by in training, and those that are frequent anyway. Each sentence has a
list of its own, so that its translation does not depend on those that it is translated with.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from s2s_cli.text.tokenizer import EOS


class Lists(NamedTuple):
    """The symbols of each sentence of a batch: EOS, then the others in rising order, filled up with EOS.

    symbols_BN: int64. counts_B: how many of them are valid, int64.
    """

    symbols_BN: Tensor
    counts_B: Tensor


class Shortlist(NamedTuple):
    """candidates_VC: target symbols for each source symbol. frequent_N: symbols that are in every list."""

    candidates_VC: Tensor
    frequent_N: Tensor

    def lists(self, source_BS: Tensor, source_lengths_B: Tensor) -> Lists:
        """What each of these sentences may use: no special symbol but EOS."""
        is_listed_BV = torch.zeros(len(source_BS), self._greatest + 1, dtype=torch.bool)
        is_listed_BV[:, self.frequent_N] = True
        valid_BS = torch.arange(source_BS.size(1)) < source_lengths_B[:, None]
        sentences, positions = valid_BS.nonzero(as_tuple=True)
        is_listed_BV[sentences[:, None], self.candidates_VC[source_BS[sentences, positions]]] = True
        is_listed_BV[:, :EOS], is_listed_BV[:, EOS] = False, True
        lists = [row_V.nonzero().squeeze(1) for row_V in is_listed_BV]
        counts_B = torch.tensor([len(symbols) for symbols in lists], dtype=torch.int64)
        return Lists(pad_sequence(lists, batch_first=True, padding_value=EOS), counts_B)

    @property
    def _greatest(self) -> int:
        return max(EOS, int(self.candidates_VC.max()), int(self.frequent_N.max()))
