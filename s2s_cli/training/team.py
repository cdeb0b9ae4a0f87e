"""A team whose members each compute the gradients of their share of a batch, all at the same time.

OpenMP threads share the work of each operation and synchronise at its end, in a recurrence several times a position. On
a machine whose cores have other work too, all of them wait there for the one whose core is taken. The members of a team
synchronise once an update.

Members are processes where they can be, for threads of Python wait for its lock between two operations: with a small
model, for a third of an update. What they compute is the same to the last bit.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from s2s_cli import console
from s2s_cli.cores import each_on_its_own
from s2s_cli.errors import MachineError
from s2s_cli.model.dropout import own_stream
from s2s_cli.processes import Worker, stop
from s2s_cli.training.batches import Arrays, Batch
from s2s_cli.training.exchange import cut, fits_memory

MOST_MEMBERS = 4
"""With more threads, OpenMP divides each operation instead: the shares of a batch would become small."""


class Gradients(NamedTuple):
    """Of some pairs, summed over their target tokens."""

    of_parameters: Sequence[Tensor | None]
    nll: float
    tokens: int


Work = Callable[[Batch], Gradients]

Answer = tuple[list[bool], float, int]
"""Of a process: which parameters have a gradient, −log p, and the number of tokens."""


class Share(NamedTuple):
    """A member's part of a batch, and the seed of its random stream."""

    batch: Batch
    seed: int


class Team:
    """The calling thread, and processes or threads that wait for work.

    work: what each member does. parameters: whose gradients it computes; their memory becomes that of all processes.
    forks: whether members may be processes.
    """

    def __init__(self, work: Work, parameters: Sequence[nn.Parameter], *, forks: bool) -> None:
        self.work, self.parameters = work, parameters
        self.processes: Processes | None = None
        self._may_fork = forks
        self._threads = ThreadPoolExecutor(MOST_MEMBERS - 1, thread_name_prefix="team")

    def gradients(self, parts: Iterable[Batch]) -> Gradients:
        """The sums of the gradients of all parts.

        A single part is processed as if there were no team; several parts are processed each by its own member, with
        dropout from its own random stream. When one part fails, the others are still finished.
        """
        first, *rest = parts
        if not rest:
            return self.work(first)
        seed, *seeds = torch.randint(2**62, (1 + len(rest),)).tolist()
        own, others = Share(first, seed), list(map(Share, rest, seeds))
        try:
            processes = self._forked()
            if processes is not None and len(others) <= len(processes.workers):
                return _sum(processes.gradients(own, others))
        except MachineError as lost:
            self._leave_processes(lost)
        return _sum(self._by_threads(own, others))

    def close(self) -> None:
        """End the processes; threads serve what is still to come."""
        if self.processes is not None:
            self.processes.close()
        self.processes, self._may_fork = None, False

    def memory(self) -> int:
        """Bytes that the other processes take now, besides those of this one."""
        return sum(worker.own_memory() for worker in self.processes.workers) if self.processes else 0

    def _forked(self) -> Processes | None:
        """The processes, where there can be any; the first batch that can be divided starts them."""
        if self._may_fork:
            self._may_fork = False
            if can_fork(self.parameters):
                try:
                    self.processes = Processes(self.work, self.parameters, torch.get_num_threads() - 1)
                except (MachineError, OSError) as refused:  # no process, or no memory to share
                    self._leave_processes(refused)
        return self.processes if self.processes is not None and self.processes.close.alive else None

    def _leave_processes(self, fault: Exception) -> None:
        console.warn(f"{fault}; training goes on by threads, more slowly")
        self.close()

    def _by_threads(self, own: Share, others: Sequence[Share]) -> list[Gradients]:
        futures = [self._threads.submit(_alone, self.work, share) for share in others]
        with _threads_as_before():
            try:
                result = _alone(self.work, own)
            finally:
                wait(futures)
        return [result, *(future.result() for future in futures)]


def shares(pairs: int) -> int:
    """The number of parts for so many pairs, which depends only on their number and on torch's number of threads."""
    threads = torch.get_num_threads()
    return min(threads, pairs) if threads <= MOST_MEMBERS else 1


def can_fork(parameters: Sequence[nn.Parameter]) -> bool:
    """Whether forked processes could compute these gradients.

    On other systems than Linux the libraries that torch multiplies by do not bear a fork, torch refuses it once it has
    threads for a GPU, a group of processes has threads for its sockets, and a daemon may have no children.
    """
    return (
        sys.platform == "linux"
        and not torch.cuda.is_available()
        and not (torch.distributed.is_available() and torch.distributed.is_initialized())
        and not multiprocessing.current_process().daemon
        and fits_memory(parameters)
    )


class Processes:
    """Forked members. They read the weights where this process writes them, and leave their gradients in shared memory.

    Raises `MachineError` if no process can be started.
    """

    def __init__(self, work: Work, parameters: Sequence[nn.Parameter], count: int) -> None:
        self.work, self.parameters = work, parameters
        for parameter, shared in zip(parameters, _shared(parameters), strict=True):
            parameter.data = shared.copy_(parameter.data)
        self.rooms = [_shared(parameters) for _ in range(count)]
        self.workers = list[Worker]()
        self.close = weakref.finalize(self, _stop_own, self.workers, os.getpid())
        for room in self.rooms:
            self.workers.append(Worker.start(partial(_member, work, room), self.workers))
        self._addresses = self._where_weights_are()

    def gradients(self, own: Share, others: Sequence[Share]) -> list[Gradients]:
        """The gradients of this process's share, and those of the others, which are valid until the next call.

        Raises `WorkerLost` if a process has died, and what the work raises.
        """
        if self._where_weights_are() != self._addresses:
            raise RuntimeError("the weights are no longer where the other processes read them")
        busy = list[Worker]()
        with _threads_as_before():
            try:
                with each_on_its_own([worker.process.pid for worker in self.workers if worker.process.pid]):
                    for worker, (batch, seed) in zip(self.workers, others, strict=False):
                        worker.send((batch.arrays(), seed))
                        busy.append(worker)
                    result = _alone(self.work, own)
            finally:
                answers = self._answers(busy)
        found = [result]
        for room, answer in zip(self.rooms, answers, strict=False):
            if isinstance(answer, Exception):
                raise answer
            found.append(_found(room, *answer))
        return found

    def _answers(self, busy: Sequence[Worker]) -> list[Answer | Exception]:
        """Those of all, or none is heard any more: what is left in a pipe would be taken for the answer to a later
        batch."""
        try:
            return [_answer(worker) for worker in busy]
        except BaseException:
            self.close()
            raise

    def _where_weights_are(self) -> list[int]:
        return [parameter.data_ptr() for parameter in self.parameters]


def _shared(patterns: Sequence[Tensor]) -> list[Tensor]:
    """Zeros of these shapes, in memory that forked processes have in common; it belongs to no file."""
    size = torch.float32.itemsize * sum(pattern.numel() for pattern in patterns)
    return list(cut(torch.frombuffer(mmap.mmap(-1, size), dtype=torch.float32), patterns))


def _member(work: Work, room: Sequence[Tensor]) -> Callable[[tuple[Arrays, int]], Answer]:
    """The work of a process, which leaves gradients in its room and answers with the rest."""

    def answer(message: tuple[Arrays, int]) -> Answer:
        arrays, seed = message
        gradients, nll, tokens = _alone(work, Share(Batch.of(arrays), seed))
        for place, gradient in zip(room, gradients, strict=True):
            if gradient is not None:
                place.copy_(gradient)
        return [gradient is not None for gradient in gradients], nll, tokens

    return answer


def _stop_own(workers: Sequence[Worker], owner: int) -> None:
    """End the processes, but not in one that was forked while their team waited to be collected as garbage."""
    if os.getpid() == owner:
        stop(workers)


def _answer(worker: Worker) -> Answer | Exception:
    try:
        return worker.receive()
    except Exception as error:
        return error


def _found(room: Sequence[Tensor], is_there: Sequence[bool], nll: float, tokens: int) -> Gradients:
    return Gradients([place if there else None for place, there in zip(room, is_there, strict=True)], nll, tokens)


def _sum(parts: Sequence[Gradients]) -> Gradients:
    """In their order, on which the rounding of a sum depends. The tensors of the first are changed."""
    first, *others = parts
    sums = list(first.of_parameters)
    for part in others:
        for index, gradient in enumerate(part.of_parameters):
            if gradient is not None:
                before = sums[index]
                sums[index] = gradient.clone() if before is None else before.add_(gradient)
    return Gradients(sums, sum(part.nll for part in parts), sum(part.tokens for part in parts))


@contextmanager
def _threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _alone(work: Work, share: Share) -> Gradients:
    """The work, with all operations in this thread."""
    torch.set_num_threads(1)  # for this thread, and for threads started later
    with own_stream(share.seed):
        return work(share.batch)
