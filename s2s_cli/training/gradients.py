"""The gradients of a batch, even if memory is too small for all of it at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from torch import nn

from s2s_cli import console
from s2s_cli.errors import MachineError, is_lack_of_memory
from s2s_cli.training.batches import Batch

Result = TypeVar("Result")


def add_gradients(
    parameters: Sequence[nn.Parameter], backward: Callable[[Batch], Result], batch: Batch
) -> list[Result]:
    """Add the gradients of a batch to those that the parameters have already. Returns the results of `backward`.

    If memory runs out, the halves of the batch are processed one after the other, each with its own result. Gradients
    are sums over tokens, so without dropout they are the same; with dropout each half draws other masks than the whole
    batch would have. A batch without pairs has no results.
    Raises `MachineError` if a single pair is too large.
    """
    if not len(batch.pairs):
        return []
    before = [parameter.grad for parameter in parameters]
    _clear(parameters)
    try:
        results = [backward(batch)]
    except (RuntimeError, MemoryError) as error:
        if not is_lack_of_memory(error):
            raise
        if len(batch.pairs) == 1:
            raise _too_large(batch) from error
        results = []
    if not results:  # outside of `except`, so that the traceback no longer holds tensors
        console.warn(f"not enough memory for {len(batch.pairs)} pairs at once: lower training.batch_tokens")
        _clear(parameters)  # of what was complete before memory ran out
        results = [result for half in batch.parts(2) for result in add_gradients(parameters, backward, half)]
    for parameter, gradient in zip(parameters, before, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else gradient.add_(parameter.grad)
    return results


def _clear(parameters: Sequence[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _too_large(batch: Batch) -> MachineError:
    source, target = int(batch.source_lengths_B), int(batch.target_lengths_B)
    return MachineError(
        f"not enough memory to train on a single pair of {source} source and {target} target pieces",
        hint="lower data.cleaning.max_pieces, or the sizes of the model",
    )
