"""A lexical shortlist: which target symbols a batch may use (Jean et al. 2015, section 3.3; Devlin 2017, section 4).

Most of a step is the product with the output weights, one row for each target symbol. A source sentence needs few of
them: those that its own symbols were translated by in training, and those that are frequent anyway.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from s2s_cli.text.tokenizer import EOS


class Shortlist(NamedTuple):
    """candidates_VC: target symbols for each source symbol. frequent_N: symbols that are always in."""

    candidates_VC: Tensor
    frequent_N: Tensor

    def symbols(self, source_BS: Tensor) -> Tensor:
        """EOS and all that this batch may use beyond the special symbols, rising."""
        candidates = self.candidates_VC[source_BS.unique()]
        symbols = torch.cat([candidates.flatten(), self.frequent_N]).unique()
        return torch.cat([symbols.new_tensor([EOS]), symbols[symbols > EOS]])
