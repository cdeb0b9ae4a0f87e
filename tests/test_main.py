"""What the command sets before anything else."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from s2s_cli.__main__ import (
    M_ARENA_MAX,
    M_MMAP_THRESHOLD,
    M_TOP_PAD,
    M_TRIM_THRESHOLD,
    MOST_OF_OLD_LIBRARIES,
    keep_freed_memory,
)


class Library:
    """A C library whose allocator takes blocks up to some size, and refuses some settings."""

    def __init__(self, most: int, refused: frozenset[int] = frozenset()) -> None:
        self.most, self.refused, self.settings = most, refused, dict[int, int]()

    def mallopt(self, parameter: int, value: int) -> int:
        if parameter in self.refused or (parameter == M_MMAP_THRESHOLD and value > self.most):
            return 0
        self.settings[parameter] = value
        return 1


def asked(library: object, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    return keep_freed_memory()


def test_an_allocator_that_takes_all_is_told_all(monkeypatch: pytest.MonkeyPatch):
    library = Library(most=1 << 40)
    assert asked(library, monkeypatch)
    assert library.settings.keys() == {M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD, M_ARENA_MAX}


def test_an_older_allocator_is_told_the_most_that_it_takes(monkeypatch: pytest.MonkeyPatch):
    library = Library(most=32 << 20)
    assert asked(library, monkeypatch)
    assert library.settings[M_MMAP_THRESHOLD] == MOST_OF_OLD_LIBRARIES


def test_an_allocator_that_refuses_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch):
    library = Library(most=1 << 40, refused=frozenset({M_MMAP_THRESHOLD}))
    assert not asked(library, monkeypatch)
    assert library.settings == {}


def test_a_later_refusal_is_told(monkeypatch: pytest.MonkeyPatch):
    assert not asked(Library(most=1 << 40, refused=frozenset({M_TOP_PAD})), monkeypatch)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    assert not asked(object(), monkeypatch)


LEAVING = """
import atexit, os, sys, threading, time
import s2s_cli.__main__ as door

class Traced:
    def __del__(self, write=os.write):
        write(1, b"tidied\\n")

kept = Traced()
atexit.register(print, "at exit")

def work():
    time.sleep(0.2)
    print("worked", flush=True)

def main():
    print("answered")
    {what}

door.main = main
door.main_and_leave()
"""


def ended(what: str) -> tuple[int, list[str]]:
    """The exit code of a process whose command does that, and what it wrote."""
    process = subprocess.run([sys.executable, "-c", LEAVING.format(what=what)], capture_output=True, timeout=600)
    return process.returncode, process.stdout.decode().split("\n")[:-1]


@pytest.mark.parametrize(("what", "code"), [("pass", 0), ("sys.exit(3)", 3), ("sys.exit()", 0), ("sys.exit('x')", 1)])
def test_a_process_ends_with_its_code_without_tidying(what: str, code: int):
    assert ended(what) == (code, ["answered", "at exit"])


def test_a_process_waits_for_what_still_works():
    assert ended("threading.Thread(target=work).start()") == (0, ["answered", "worked", "at exit", "tidied"])


def test_a_process_that_is_watched_ends_as_usual():
    assert ended("sys.setprofile(lambda *_: None)") == (0, ["answered", "at exit", "tidied"])
