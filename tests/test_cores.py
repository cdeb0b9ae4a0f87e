"""How many cores worker processes may use: those of the process, as far as its control groups leave them; and which."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from s2s_cli.cores import each_on_its_own, usable_cores


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("", {}, 8),
        ("0::/", {}, 8),
        ("0::/a/b", {"a/b/cpu.max": "max 100000"}, 8),
        ("0::/a/b", {"a/b/cpu.max": "250000 100000"}, 2),
        ("0::/a/b", {"a/cpu.max": "350000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/a/b", {"a/cpu.max": "350000 100000", "a/b/cpu.max": "20000 10000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 1),
        ("0::/", {"cpu.max": "50000 100000"}, 1),  # half a core is one that rests
        ("0::/", {"cpu.max": "1600000 100000"}, 8),
        ("0::/", {"cpu.max": "nonsense"}, 8),
        ("3:cpu,cpuacct:/a\n0::/", {"cpu,cpuacct/a/cpu.cfs_quota_us": "-1"}, 8),
        (
            "4:memory:/\n3:cpu,cpuacct:/a/b\n0::/",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "300000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            3,
        ),
        (
            "2:cpu:/outside/of/the/container",
            {"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"},
            2,
        ),
    ],
)
def test_usable_cores_are_those_that_the_control_groups_leave(
    groups: str, files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8))
    for name, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{name}": t for name, t in files.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert usable_cores(tmp_path) == cores


@pytest.fixture
def cores() -> Iterator[set[int]]:
    """The two cores that this process, and those it starts, may use meanwhile."""
    if not hasattr(os, "sched_setaffinity") or len(before := os.sched_getaffinity(0)) < 2:
        pytest.skip("needs Linux and two cores")
    os.sched_setaffinity(0, two := set(sorted(before)[:2]))
    yield two
    os.sched_setaffinity(0, before)


@pytest.fixture
def process(cores: set[int]) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as sleeping:
        yield sleeping.pid
        sleeping.communicate()


def test_each_process_has_a_core_to_itself_until_the_block_ends(cores: set[int], process: int) -> None:
    with pytest.raises(KeyboardInterrupt), each_on_its_own([process]):
        mine, its = os.sched_getaffinity(0), os.sched_getaffinity(process)
        raise KeyboardInterrupt
    assert len(mine) == len(its) == 1 and mine | its == cores
    assert os.sched_getaffinity(0) == os.sched_getaffinity(process) == cores


def test_fewer_or_more_processes_than_cores_go_where_the_system_puts_them(cores: set[int], process: int) -> None:
    for processes in ([], [process, process]):
        with each_on_its_own(processes):
            assert os.sched_getaffinity(0) == os.sched_getaffinity(process) == cores


def test_a_process_that_has_ended_disturbs_no_other(cores: set[int]) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
        with each_on_its_own([ended.pid]):
            assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == cores


def test_other_systems_place_processes_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    with each_on_its_own([os.getpid()]) as nothing:
        assert nothing is None
