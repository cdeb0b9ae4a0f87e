"""How long a translation may be."""

from __future__ import annotations

import torch
from torch import Tensor

from s2s_cli.search.options import SearchOptions


def length_limits(source_lengths_B: Tensor, options: SearchOptions) -> Tensor:
    """Most target symbols of each sentence, from its source length (which counts EOS): int64 [B].

    ratio × source pieces + offset, but always enough for the least length and the EOS after it. A hypothesis that has
    so many pieces and no EOS is cut there.
    """
    pieces_B = (source_lengths_B - 1).double()
    limits_B = torch.floor(pieces_B * options.max_length_ratio).long() + options.max_length_offset
    return limits_B.clamp(min=options.min_length + 1)
