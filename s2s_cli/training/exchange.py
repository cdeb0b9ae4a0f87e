"""The exchange of gradients in a group of processes, after which all of them have the same weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import Store  # type: ignore[attr-defined]

from s2s_cli.training.adamw import AdamW

Parameters = Sequence[nn.Parameter]


class Exchange(Protocol):
    """Created for the parameters of one optimiser at the first update."""

    def sum_gradients(self, nll: float, tokens: int) -> tuple[float, int]:
        """Replace gradients by their sums over all processes (None where another updates); return the sums of the
        figures."""

    def sum_of_shares(self, figure: float) -> float:
        """The sum over all processes of a figure of the gradients that `sum_gradients` left to each."""

    def finish_step(self) -> None:
        """Wait until the optimisers of all processes have taken their step."""


class OverNetwork:
    """Each process updates all parameters by gradients that torch sums: over gloo on CPU, over nccl on GPUs."""

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters
        self.message: Tensor | None = None

    def sum_gradients(self, nll: float, tokens: int) -> tuple[float, int]:
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
        parts = [*(gradient.flatten() for gradient in gradients), gradients[0].new_tensor([nll, tokens])]
        self.message = torch.cat(parts, out=self.message)
        dist.all_reduce(self.message)
        *sums, figures = self.message.split([len(part) for part in parts])
        for parameter, gradient in zip(self.parameters, sums, strict=True):
            parameter.grad = gradient.view_as(parameter)
        nll, all_tokens = figures.tolist()
        return nll, round(all_tokens)

    def sum_of_shares(self, figure: float) -> float:
        return figure

    def finish_step(self) -> None:
        pass


class ThroughMemory:
    """For the processes of one machine, on CPU: weights and moments lie in shared memory.

    Each process updates some of the parameters for all processes, so that the passes over all weights and gradients,
    which are bound by the speed of memory, are made only once.

    store: without entries. barrier: a group of gloo.
    """

    def __init__(self, store: Store, barrier: dist.ProcessGroup, optimizer: AdamW) -> None:
        self.barrier, self.rank, size = barrier, dist.get_rank(), dist.get_world_size()
        self.parameters = optimizer.parameters
        self.owners = divide([parameter.numel() for parameter in self.parameters], size)
        tensors = list(_state(optimizer))
        memory = shared_matrix(store, "state", self.rank, 1, sum(t.numel() for t in tensors), torch.float32)
        for tensor, shared in zip(tensors, cut(memory[0], tensors), strict=True):
            tensor.data = shared.copy_(tensor.data)  # all processes write the same
        numbers = sum(parameter.numel() for parameter in self.parameters)
        gradients = shared_matrix(store, "gradients", self.rank, size, numbers, torch.float32)
        self.gradients = [list(cut(row, self.parameters)) for row in gradients]
        self.figures = shared_matrix(store, "figures", self.rank, size, 3, torch.float64)

    def sum_gradients(self, nll: float, tokens: int) -> tuple[float, int]:
        for parameter, owner, room in zip(self.parameters, self.owners, self.gradients[self.rank], strict=True):
            if owner != self.rank:
                room.zero_() if parameter.grad is None else room.copy_(parameter.grad)
                parameter.grad = None
        self.figures[self.rank, :2] = torch.tensor([nll, tokens], dtype=torch.float64)
        dist.barrier(self.barrier)
        for index, (parameter, owner) in enumerate(zip(self.parameters, self.owners, strict=True)):
            if owner == self.rank:
                others = [rooms[index] for rank, rooms in enumerate(self.gradients) if rank != owner]
                parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
                for gradient in others:
                    parameter.grad += gradient
        nll, all_tokens = self.figures[:, :2].sum(dim=0).tolist()
        return nll, round(all_tokens)

    def sum_of_shares(self, figure: float) -> float:
        self.figures[self.rank, 2] = figure
        dist.barrier(self.barrier)
        return float(self.figures[:, 2].sum())

    def finish_step(self) -> None:
        dist.barrier(self.barrier)  # before any process reads a weight, it must be the new one


def fits_memory(parameters: Parameters) -> bool:
    """Whether processes can share these parameters: float32 on CPU, where the system has shared memory that is freed
    with its processes."""
    return hasattr(os, "memfd_create") and all(p.device.type == "cpu" and p.dtype is torch.float32 for p in parameters)


def divide(sizes: Sequence[int], processes: int) -> list[int]:
    """Which process updates each parameter: the largest first, each by the process with the least to do so far."""
    owners, loads = [0] * len(sizes), [0] * processes
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        owners[index] = loads.index(min(loads))
        loads[owners[index]] += sizes[index]
    return owners


def _state(optimizer: AdamW) -> Iterator[Tensor]:
    """The parameters, and the optimiser's state of each."""
    for parameter in optimizer.parameters:
        state = optimizer.state_of(parameter)
        yield from (parameter, *(state[key] for key in sorted(state)))


def cut(vector: Tensor, patterns: Sequence[Tensor]) -> Iterator[Tensor]:
    """Views of the vector, one after the other, of these shapes."""
    parts = vector.split([pattern.numel() for pattern in patterns])
    return (part.view(pattern.shape) for part, pattern in zip(parts, patterns, strict=True))


def shared_matrix(store: Store, name: str, rank: int, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """A matrix of zeros in memory shared by all processes of this machine; the first one creates it."""
    if rank == 0:
        descriptor = os.memfd_create(name)  # stays open until the process ends: others open it by its number
        os.ftruncate(descriptor, rows * columns * dtype.itemsize)
        store.set(name, f"/proc/{os.getpid()}/fd/{descriptor}")
    path = store.get(name).decode()
    return torch.from_file(path, shared=True, size=rows * columns, dtype=dtype).view(rows, columns)
