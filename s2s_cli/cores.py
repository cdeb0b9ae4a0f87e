"""How many processor cores there are to use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
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
