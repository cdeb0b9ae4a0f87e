"""The processes that train one model together: those of `torchrun`, or a single one as a group of one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import _set_pg_timeout
from torch.distributed.rendezvous import rendezvous

from s2s_cli.errors import ExitCode, MachineError, UsageError
from s2s_cli.training.adamw import AdamW
from s2s_cli.training.exchange import Exchange, OverNetwork, ThroughMemory, fits_memory

TORCHRUN = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
"""Environment variables with which `torchrun` gives a process its rank and the address of the others."""

JOIN_TIMEOUT = "S2S_JOIN_TIMEOUT"
"""Environment variable: seconds until all processes must have joined."""

LONGEST_UPDATE = timedelta(minutes=30)
"""Time limit for the slowest process to compute its gradients."""

LONGEST_WAIT = timedelta(days=2)
"""Time limit for the work of the first process while the others wait: preparing, validating, saving, exporting."""

ANSWER = timedelta(seconds=5)
"""Time limit for connecting to the first process."""

RESUME = "the same command resumes from the newest checkpoint"

Result = TypeVar("Result")


class ProcessGroup:
    """A group of one process, and the interface of larger groups.

    rank, size: which process this is, counted from 0, of how many; local_rank, local_size: the same on this machine.
    The methods that communicate are called by all processes in the same order.
    """

    rank, size, local_rank, local_size = 0, 1, 0, 1

    @property
    def leads(self) -> bool:
        """Whether this is the first process: the one that writes, validates, and talks to the user."""
        return self.rank == 0

    def share(self, pairs: np.ndarray) -> np.ndarray:
        """The pairs of a batch for this process, maybe none. Neighbours have similar lengths, and so do the shares."""
        return pairs[self.rank :: self.size]

    def once(self, work: Callable[[], Result]) -> Result | None:
        """Let the first process alone do the work; it gets the result, the others wait and get None."""
        return work()

    def from_first(self, number: float | None) -> float | None:
        """The number, or None, of the first process."""
        return number

    def greatest(self, number: int) -> int:
        """The maximum of the numbers of all processes."""
        return number

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all processes, all on CPU and of the same shape."""
        return [tensor]

    def sum_gradients(self, optimizer: AdamW, nll: float, tokens: int) -> tuple[float, int]:
        """Replace gradients by their sums over all processes; return the sums of the two figures.

        The parameters may be divided among the processes: then this one keeps the gradients of its own parameters only.
        """
        return nll, tokens

    def sum_of_shares(self, figure: float) -> float:
        """The sum over all processes of a figure of the gradients that `sum_gradients` left to each."""
        return figure

    def finish_step(self) -> None:
        """Wait until the optimisers of all processes have taken their step."""


class TorchrunGroup(ProcessGroup):
    """The processes of `torchrun`, once they have joined. Each operation raises `MachineError` if another has gone."""

    def __init__(self) -> None:
        self.rank, self.size, self.local_rank, self.local_size = (
            int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        )
        self.lasting_store: Store | None = None
        self.start = f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"  # until the port names it
        self.exchange: Exchange | None = None  # created at the first update

    def join(self, seconds: float) -> None:
        """Connect to the others. Raises `MachineError` if not all of them join within these seconds."""
        deadline, bound = time.monotonic() + seconds, timedelta(seconds=seconds)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
        late = f"the {self.size} processes of this training did not all join within {seconds:g} s"
        with _in_touch(late, f"start all of them, or set {JOIN_TIMEOUT} to wait longer"):
            self.lasting_store, *_ = next(rendezvous("env://", timeout=bound))
            self.store = _own_store(self.lasting_store, deadline, leads=self.leads)
            self.store.set_timeout(LONGEST_UPDATE)  # instead of the timeout of the connection
            self.start = f"port {self.store.port}"
            self.store.set(f"here/{self.rank}", "")
            for rank in range(self.size):
                _await(self.store, f"here/{rank}", deadline)
            dist.init_process_group(backend, store=self.store, rank=self.rank, world_size=self.size, timeout=bound)
            self.waiting = dist.new_group(backend="gloo", timeout=bound)
        _set_pg_timeout(LONGEST_UPDATE)
        _set_pg_timeout(LONGEST_WAIT, self.waiting)

    def once(self, work: Callable[[], Result]) -> Result | None:
        result = self._with_all_threads(work) if self.leads else None
        with _in_touch():
            dist.barrier(self.waiting)
        return result

    def _with_all_threads(self, work: Callable[[], Result]) -> Result:
        """The result of the work. It may use the cores of the other processes, which wait."""
        threads = torch.get_num_threads()
        torch.set_num_threads(threads * self.local_size)
        try:
            return work()
        finally:
            torch.set_num_threads(threads)

    def from_first(self, number: float | None) -> float | None:
        answer = torch.tensor([number is not None, number or 0.0], dtype=torch.float64)
        with _in_touch():
            dist.broadcast(answer, 0, self.waiting)
        there_is, value = answer.tolist()
        return value if there_is else None

    def greatest(self, number: int) -> int:
        answer = torch.tensor(number)
        with _in_touch():
            dist.all_reduce(answer, dist.ReduceOp.MAX, self.waiting)
        return int(answer)

    def gather(self, tensor: Tensor) -> list[Tensor]:
        tensors = [torch.empty_like(tensor) for _ in range(self.size)]
        with _in_touch():
            dist.all_gather(tensors, tensor, self.waiting)
        return tensors

    def sum_gradients(self, optimizer: AdamW, nll: float, tokens: int) -> tuple[float, int]:
        with _in_touch():
            self.exchange = self.exchange or self._make_exchange(optimizer)
            return self.exchange.sum_gradients(nll, tokens)

    def _make_exchange(self, optimizer: AdamW) -> Exchange:
        if self.local_size == self.size and fits_memory(optimizer.parameters):
            return ThroughMemory(self.store, self.waiting, optimizer)
        return OverNetwork(optimizer.parameters)

    def sum_of_shares(self, figure: float) -> float:
        assert self.exchange is not None, "an update begins with `sum_gradients`"
        with _in_touch():
            return self.exchange.sum_of_shares(figure)

    def finish_step(self) -> None:
        assert self.exchange is not None, "an update begins with `sum_gradients`"
        with _in_touch():
            self.exchange.finish_step()

    def is_first_to_fail(self) -> bool:
        """Whether no other process is known to have called this before."""
        with suppress(RuntimeError):  # `torchrun` has ended
            return self.lasting_store is None or self.lasting_store.add(f"failures of {self.start}", 1) == 1
        return True


ALONE = ProcessGroup()


@contextmanager
def process_group() -> Iterator[ProcessGroup]:
    """The group that this process belongs to.

    When one process fails, all fail, since they wait for one another. The first one to fail raises its error; the
    others exit without a message.
    """
    if not TORCHRUN.issubset(os.environ):
        yield ALONE
        return
    group = TorchrunGroup()
    try:
        group.join(_join_timeout())
        yield group
    except BaseException as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # sent by `torchrun` when a process has ended
        if group.is_first_to_fail():
            raise
        raise SystemExit(getattr(error, "exit_code", ExitCode.MACHINE)) from error
    dist.destroy_process_group()


def own_device(device: torch.device, group: ProcessGroup) -> torch.device:
    """Each process of a machine takes a GPU of its own. Raises `UsageError` if there are too few."""
    if device.type != "cuda":
        return device
    if group.local_size > (count := torch.cuda.device_count()):
        raise UsageError(
            f"{group.local_size} processes on a machine with {count} GPUs",
            hint="start one process for each GPU: torchrun --nproc-per-node",
        )
    torch.cuda.set_device(group.local_rank)
    return torch.device("cuda", group.local_rank)


def _join_timeout() -> float:
    text = os.environ.get(JOIN_TIMEOUT, "600")
    with suppress(ValueError):
        if 0 < (seconds := float(text)) < LONGEST_WAIT.total_seconds():
            return seconds
    raise UsageError(f"{text!r} is not a number of seconds", where=JOIN_TIMEOUT, hint="leave it out for 600")


def _own_store(lasting: Store, deadline: float, *, leads: bool) -> TCPStore:
    """A store for this start of the group: that of `torchrun` still has the addresses of processes before a restart."""
    host = os.environ["MASTER_ADDR"]
    if leads:
        store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
        lasting.set("port", str(store.port))
        return store
    while True:
        _await(lasting, "port", deadline)
        with suppress(dist.DistNetworkError):  # no process listens: the port is that of an earlier start
            return TCPStore(host, int(lasting.get("port")), is_master=False, timeout=ANSWER)


def _await(store: Store, key: str, deadline: float) -> None:
    """Wait until another process has set the key, by polling, so that signals are handled. Raises `RuntimeError`."""
    while time.monotonic() < deadline:
        if store.check([key]):
            return
        time.sleep(0.01)
    raise RuntimeError(f"there is no {key}")


@contextmanager
def _in_touch(otherwise: str = "another process of this training has ended", hint: str = RESUME) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise MachineError(otherwise, hint=hint) from error
