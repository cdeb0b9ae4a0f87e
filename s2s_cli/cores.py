"""How many processor cores there are to use, and which process has which."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import repeat
from pathlib import Path, PurePosixPath

MOST_THREADS = 1024
"""Most threads of a process, and most worker processes."""


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use, rounded down: with more threads it would exceed its CPU quota and be suspended.
    No more than `MOST_THREADS`.

    root: where `proc` and `sys` are.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min([cores, MOST_THREADS, *_quotas(root)])))


@contextmanager
def each_on_its_own(processes: Sequence[int]) -> Iterator[None]:
    """Until the end of the block, keep this thread on the core where it runs, and each of these processes on another.

    Only where that takes all cores there are, on Linux: it wakes a process on the core of the one that woke it, unless
    it knows of an idle one. So beside another program the two would share a core, and the program have one for itself.

    Start no thread inside the block: it would be kept on that one core for good.

    processes: their numbers. They are left with the cores that this thread may use.
    """
    everyone = (0, *processes)  # 0 is this thread
    try:
        allowed, here = os.sched_getaffinity(0), _current_core()
    except (AttributeError, OSError):  # another system
        allowed, here = set[int](), -1
    if here not in allowed or len(allowed) != len(everyone):
        yield
        return
    try:
        _keep(everyone, ([core] for core in (here, *sorted(allowed - {here}))))
        yield
    finally:
        _keep(everyone, repeat(allowed))


def _current_core() -> int:
    """Where this thread runs."""
    import ctypes

    return int(ctypes.CDLL(None).sched_getcpu())


def _keep(processes: Iterable[int], cores: Iterable[Iterable[int]]) -> None:
    for process, own in zip(processes, cores, strict=False):
        with suppress(OSError):  # it has ended, or the system allows no such thing
            os.sched_setaffinity(process, own)


def _quotas(root: Path) -> Iterator[float]:
    """The quota, in cores, of each control group that this process is in and of each group above, where there is one.

    https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max) and .../cgroup-v1/cgroups.html with
    scheduler/sched-bwc.html (cpu.cfs_quota_us).
    """
    with suppress(OSError, ValueError):  # a system without such groups
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            mounted = root / "sys/fs/cgroup" / controllers
            group = PurePosixPath(path.lstrip("/"))
            for folder in (mounted / group, *(mounted / above for above in group.parents)):
                for names in (["cpu.max"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]):
                    with suppress(OSError, ValueError):  # not this version, or no number: unbounded
                        quota, period = " ".join((folder / name).read_text() for name in names).split()
                        if int(quota) > 0:
                            yield int(quota) / int(period)
