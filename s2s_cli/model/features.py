"""What a recurrence yields at each position, for the readout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """s_t (or the attentional vector in its place), and c_t and α_t for decoders that have them."""

    output_BXH: Tensor
    context_BXM: Tensor | None = None
    attention_BXS: Tensor | None = None

    def select(self, sentences_b: Tensor | slice) -> Features:
        """The same of these sentences."""
        return Features(
            self.output_BXH[sentences_b],
            None if self.context_BXM is None else self.context_BXM[sentences_b],
            None if self.attention_BXS is None else self.attention_BXS[sentences_b],
        )

    @staticmethod
    def join(steps: Sequence[Features]) -> Features:
        """Features of successive positions, put together."""

        def along(tensors: list[Tensor | None]) -> Tensor | None:
            present = [tensor for tensor in tensors if tensor is not None]
            return torch.cat(present, dim=1) if present else None

        return Features(
            torch.cat([step.output_BXH for step in steps], dim=1),
            along([step.context_BXM for step in steps]),
            along([step.attention_BXS for step in steps]),
        )
