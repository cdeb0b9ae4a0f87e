"""Sums of tensors over all processes of a group: the same on each, to the last bit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import Store  # type: ignore[attr-defined]


class AllReduce(Protocol):
    """Made for vectors that are the same in number and length each time, and reuses its memory."""

    def sum(self, vectors: Sequence[Tensor]) -> Tensor:
        """The sums of each vector over all processes, side by side; they last until the next call."""


class OverNetwork:
    """By torch: gloo for tensors on CPU, nccl for those on a GPU."""

    def __init__(self) -> None:
        self.sums: Tensor | None = None

    def sum(self, vectors: Sequence[Tensor]) -> Tensor:
        self.sums = torch.cat(list(vectors), out=self.sums)
        dist.all_reduce(self.sums)
        return self.sums


class ThroughMemory:
    """For the processes of one machine, on CPU: in a third of the time that gloo takes over the loopback.

    store: new to all of them. group: of gloo. vectors: as they will be.
    """

    def __init__(self, store: Store, group: dist.ProcessGroup, vectors: Sequence[Tensor]) -> None:
        self.group = group
        self.rank, size = dist.get_rank(), dist.get_world_size()
        length, dtype = sum(map(len, vectors)), vectors[0].dtype
        *self.addends, self.total = shared_matrix(store, self.rank, size + 1, length, dtype)
        self.sums = torch.empty(length, dtype=dtype)

    def sum(self, vectors: Sequence[Tensor]) -> Tensor:
        torch.cat(list(vectors), out=self.addends[self.rank])
        dist.barrier(self.group)
        own, *others = (addend.tensor_split(len(self.addends))[self.rank] for addend in self.addends)
        part = self.total.tensor_split(len(self.addends))[self.rank].copy_(own)
        for other in others:
            part += other
        dist.barrier(self.group)
        return self.sums.copy_(self.total)  # whoever changes it must not change that of the others


def has_shared_memory() -> bool:
    """Whether this system has memory that processes share and that goes when they go."""
    return hasattr(os, "memfd_create")


def shared_matrix(store: Store, rank: int, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """A matrix of zeros that all processes of this machine see; the first one makes it."""
    if rank == 0:
        descriptor = os.memfd_create("gradients")  # stays open as long as the process: others open it by its number
        os.ftruncate(descriptor, rows * columns * dtype.itemsize)
        store.set("shared matrix", f"/proc/{os.getpid()}/fd/{descriptor}")
    path = store.get("shared matrix").decode()
    return torch.from_file(path, shared=True, size=rows * columns, dtype=dtype).view(rows, columns)
