"""A lexical shortlist: which target symbols a sentence may use (Jean et al. 2015, section 3.3; Devlin 2017, section 4).

Most of a step is the product with the output weights, one row for each target symbol. A source sentence needs few of
them: those that its own symbols were translated by in training, and those that are frequent anyway. Each sentence has a
list of its own, so that its translation does not depend on those that it is translated with.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from s2s_cli.text.tokenizer import EOS


class Lists(NamedTuple):
    """The symbols of each sentence of a batch: EOS, then the others in rising order, filled up with EOS.

    symbols_BN: int64. counts_B: how many of them are valid, int64.
    """

    symbols_BN: np.ndarray
    counts_B: np.ndarray


class Shortlist(NamedTuple):
    """candidates_VC: target symbols for each source symbol. frequent_N: symbols that are in every list."""

    candidates_VC: np.ndarray
    frequent_N: np.ndarray

    def lists(
        self, source_BS: np.ndarray, source_lengths_B: np.ndarray, admitted: Sequence[Collection[int]] = ()
    ) -> Lists:
        """What each of these sentences may use, what is admitted besides included: no special symbol but EOS."""
        greatest = max([self._greatest, *(max(symbols) for symbols in admitted if symbols)])
        is_listed_BV = np.zeros((len(source_BS), greatest + 1), bool)
        is_listed_BV[:, self.frequent_N] = True
        sentences, positions = np.nonzero(np.arange(source_BS.shape[1]) < source_lengths_B[:, None])
        is_listed_BV[sentences[:, None], self.candidates_VC[source_BS[sentences, positions]]] = True
        for sentence, also in enumerate(admitted):
            is_listed_BV[sentence, list(also)] = True
        is_listed_BV[:, :EOS], is_listed_BV[:, EOS] = False, True
        counts_B = is_listed_BV.sum(axis=1)
        symbols_BN = np.full((len(source_BS), counts_B.max(initial=1)), EOS, np.int64)
        sentences, symbols = np.nonzero(is_listed_BV)
        symbols_BN[np.arange(symbols_BN.shape[1]) < counts_B[:, None]] = symbols
        return Lists(symbols_BN, counts_B)

    @property
    def _greatest(self) -> int:
        return max(EOS, int(self.candidates_VC.max()), int(self.frequent_N.max()))
