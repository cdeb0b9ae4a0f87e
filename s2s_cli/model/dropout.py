"""Dropout (Srivastava et al. 2014), its masks drawn a byte an element."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from s2s_cli.text.tokenizer import EOS


class Dropout(nn.Module):
    """Zero elements with `probability` and scale the others up.

    The probability is kept to the nearest 1/256 (below 1), and the scale with it: a random byte costs an eighth of a
    draw, where `torch.nn.Dropout` spent one draw on each element and 7 % of a training step on CPU.
    variational: one mask for all positions of a sentence, tensors [B, X, ...] (Gal and Ghahramani 2016).
    """

    def __init__(self, probability: float, variational: bool = False) -> None:
        super().__init__()
        self.threshold = min(round(probability * 256), 255)
        self.variational = variational

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.threshold == 0:
            return values
        shape = (values.shape[0], 1, *values.shape[2:]) if self.variational else values.shape
        mask = random_bytes(shape, values.device) >= self.threshold
        return values * mask.to(values.dtype).mul_(256 / (256 - self.threshold))

    def extra_repr(self) -> str:
        return f"probability={self.threshold / 256:.3f}, variational={self.variational}"


class WordDropout(nn.Module):
    """Zero the whole embedding of a symbol with `probability`, and leave the others as they are (Gal and Ghahramani
    2016, section 4.2, here with a draw for each position; Sennrich and Zhang 2019, section 3).

    The special symbols are kept: without BOS or EOS, which no context can tell, the length would be hidden too. The
    probability is kept to the nearest 1/256, as that of `Dropout`.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.threshold = min(round(probability * 256), 255)

    def forward(self, embedded_BXE: Tensor, symbols_BX: Tensor) -> Tensor:
        if not self.training or self.threshold == 0:
            return embedded_BXE
        is_kept_BX = (random_bytes(symbols_BX.shape, symbols_BX.device) >= self.threshold) | (symbols_BX <= EOS)
        return embedded_BXE * is_kept_BX[..., None]

    def extra_repr(self) -> str:
        return f"probability={self.threshold / 256:.3f}"


class _Thread(threading.local):
    generator: torch.Generator | None = None


_THREAD = _Thread()


@contextmanager
def own_stream(seed: int) -> Iterator[None]:
    """While inside, this thread draws its masks (on CPU) from a stream of its own: threads that draw from one stream
    would get what the chance of their timing gives them."""
    _THREAD.generator = torch.Generator().manual_seed(seed)
    try:
        yield
    finally:
        _THREAD.generator = None


def random_bytes(shape: torch.Size | tuple[int, ...], device: torch.device) -> Tensor:
    """Uniform uint8 of this shape, eight to a draw, from the thread's own stream or the device's default generator."""
    count = torch.Size(shape).numel()
    words = torch.empty((count + 7) // 8, dtype=torch.int64, device=device)
    words.random_(-(2**63), None, generator=_THREAD.generator)
    return words.view(torch.uint8)[:count].view(shape)
