"""The C library can be built where these tests run: if not, the tests of what stands on it are left out. Where it
cannot be built, no start of the program takes long to find that out."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from s2s_cli.errors import MachineError
from s2s_cli.native import compiling, library


def test_the_c_library_can_be_built_here() -> None:
    assert library.load() is not None, "no C library: install a C compiler (`cc`), or the fast paths stay untested"


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Callable[[], int]]:
    """Take a script for the compiler; it returns what tells how often it was called."""

    def take(end: str) -> Callable[[], int]:
        script, calls = tmp_path / "cc", tmp_path / "calls"
        script.write_text(f"#!/bin/sh\necho >> {calls}\n{end}\n")
        script.chmod(0o755)
        monkeypatch.setenv("CC", str(script))
        monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
        return lambda: len(calls.read_text().splitlines())

    return take


def test_what_a_compiler_refuses_is_asked_for_once_a_day(
    compiler: Callable[[str], Callable[[], int]], tmp_path: Path
) -> None:
    calls = compiler("echo 'unrecognized command-line option' >&2; exit 1")
    with pytest.raises(compiling.Refusal, match="exit status 1"):
        compiling.compiled(["-O0"])
    before = calls()
    with pytest.raises(OSError, match="refused it lately"):
        compiling.compiled(["-O0"])
    assert calls() == before > 0
    [refused] = (tmp_path / "cache").iterdir()
    os.utime(refused, (0, 0))
    with pytest.raises(compiling.Refusal):
        compiling.compiled(["-O0"])


@pytest.mark.parametrize("end", ["kill -9 $$", "echo 'cc1: out of memory' >&2; exit 1"])
def test_a_compiler_that_failed_otherwise_is_asked_again(
    compiler: Callable[[str], Callable[[], int]], end: str
) -> None:
    calls, counts = compiler(end), []
    for _ in range(2):
        with pytest.raises(OSError, match="SIGKILL|out of memory"):
            compiling.compiled(["-O0"])
        counts.append(calls())
    assert counts[1] > counts[0]


def test_where_nothing_that_is_compiled_can_be_run_one_variant_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []

    def compiled(flags: list[str]) -> Path:
        made.append(flags)
        path = tmp_path / f"{len(made)}.so"
        path.write_bytes(b"not to be loaded")
        return path

    monkeypatch.setattr(library, "cached", lambda _: None)
    monkeypatch.setattr(library, "compiled", compiled)
    library.load.cache_clear()
    assert library.load() is None and len(made) == 2  # with OpenMP, and without
    monkeypatch.setenv("S2S_KERNEL_VARIANT", "")
    library.load.cache_clear()
    assert library.load() is None
    monkeypatch.setenv("S2S_KERNEL_VARIANT", library.usable()[-1].name)
    library.load.cache_clear()
    with pytest.raises(MachineError, match="cannot be compiled or loaded"):
        library.load()
    monkeypatch.undo()
    library.load.cache_clear()
