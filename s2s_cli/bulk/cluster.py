"""Ray: how it is reached, and how work is given to it. It decides where and when each piece is done, and does it again
where a process or a machine was lost."""

from __future__ import annotations

import functools
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from s2s_cli import console
from s2s_cli.errors import MachineError, UserError

RETRIES = 5
"""Times that a piece is tried again after the process or the machine that did it was lost."""
PATIENCE = 60.0
"""Seconds between two looks at whether there is any machine."""
AHEAD = 2
"""Chunks of a map for each processor core that are in memory."""

Job = TypeVar("Job")
Result = TypeVar("Result")


@contextmanager
def connected(address: str, cores: int | None = None) -> Iterator[Any]:
    """Ray, for the time of the block. Raises MachineError if it is not installed, or not there.

    address: as of `ray.init`; `local` starts Ray on this machine. cores: that `local` counts, by default all.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray will do, and warns of
    try:
        import ray
    except ModuleNotFoundError as error:
        hint = "pip install 's2s-cli[ray]'"
        raise MachineError("this needs Ray, which is not installed", where="--ray", hint=hint) from error
    settings: dict[str, Any] = {"logging_level": "warning"}
    if address == "local":
        settings |= {"num_cpus": cores, "include_dashboard": False}
    with redirect_stdout(sys.stderr):  # Ray tells there of what it has lost, also while it starts and ends
        try:
            ray.init(address=address, **settings)
        except (ConnectionError, ValueError) as error:
            raise MachineError(f"Ray cannot be reached: {error}".splitlines()[0], where=f"--ray {address}") from error
        try:
            yield ray
        finally:
            ray.shutdown()


def cores_of(ray: Any) -> int:
    """Processor cores that Ray has now; machines come and go."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def start(ray: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Have Ray do something, on one core; returns what stands for its result."""
    return _remote(ray).remote(function, *arguments)


@functools.cache
def _remote(ray: Any) -> Any:
    """What Ray calls; it is given to all machines once."""
    return ray.remote(num_cpus=1, max_retries=RETRIES)(_caught)


def _caught(function: Callable[..., Result], *arguments: Any) -> Result | UserError:
    """The result, or the error for the user: raised, it would arrive wrapped into another one."""
    try:
        return function(*arguments)
    except UserError as error:
        return error


def result_of(ray: Any, reference: Any, where: object) -> Any:
    """The result of what was started, as soon as it is there. Raises its error, and MachineError if it was given up."""
    try:
        result = ray.get(reference)
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.NodeDiedError, ray.exceptions.OutOfMemoryError) as lost:
        what = f"this was given up, since all {RETRIES + 1} processes that tried it were lost"
        hint = "is there enough memory? The same command goes on"
        raise MachineError(what, where=where, hint=hint) from lost
    if isinstance(result, UserError):
        raise result
    return result


def ready(ray: Any, references: list[Any]) -> list[Any]:
    """Those that are done, at least one. While Ray has lost all machines, it is waited for others."""
    while not ray.wait(references, num_returns=1, timeout=PATIENCE)[0]:
        if not ray.cluster_resources().get("CPU"):
            console.warn("Ray has no processor core left; the work goes on when a machine joins it")
    done: list[Any] = ray.wait(references, num_returns=len(references), timeout=0)[0]
    return done


def map_in_order(
    address: str, make_work: Callable[[], Callable[[Job], Result]], chunks: Iterable[Job]
) -> Generator[Result]:
    """As `s2s_cli.processes.map_in_order`, by Ray, with `AHEAD` chunks for each core on their way.

    It is connected as long as it maps, so that a Ray of this machine takes no memory from what comes between two maps.
    Errors as of `connected` and `result_of`.
    """
    with connected(address) as ray:
        maker = _Maker(os.urandom(8).hex(), ray.put(make_work))
        iterator, running = iter(chunks), deque[Any]()
        while True:
            for chunk in islice(iterator, max(0, AHEAD * cores_of(ray) - len(running))):
                running.append(start(ray, _work, maker, chunk))
            if not running:
                return
            yield result_of(ray, running.popleft(), "--ray")


class _Maker(NamedTuple):
    """What makes the work, where Ray keeps it. Each is its own name: a process makes the work once."""

    name: str
    reference: Any

    def __hash__(self) -> int:
        return hash(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Maker) and self.name == other.name


def _work(maker: _Maker, chunk: Any) -> Any:
    """The result of the work on a chunk."""
    return _made(maker)(chunk)


@functools.lru_cache(maxsize=1)
def _made(maker: _Maker) -> Callable[[Any], Any]:
    import ray

    work: Callable[[Any], Any] = ray.get(maker.reference)()
    return work
