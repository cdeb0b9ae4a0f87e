"""Spoiled inputs through every command's own door: no traceback, no crash, no hang, one sentence that names the file.

Commands run in children that are forked from this process, a batch of mutants each, with bounded time and memory. A
mutant depends on the seed and its number alone, so each can be made again by itself.
"""

from __future__ import annotations

import json
import os
import random
import resource
import select
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

from .inputs import Mutant, Originals, make_mutant
from .report import Piece
from .task import command

BATCH = 100  # mutants of one child
SECONDS = 30.0  # for one mutant
MEMORY = 2 << 30  # bytes that a child may take besides those it begins with
LARGEST_FILE = 256 << 20
CODES = (0, 1, 2, 3)  # of README.md, without those of signals
LONGEST = 1_000  # characters of an error
MOST_FAULTS = 21  # lines of an error: a recipe is told its faults at once


def torture(mutants: int, seed: int, jobs: int, folder: Path) -> Piece:
    """So many mutants, by several children side by side."""
    originals = _prepare(folder)
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        tasks = [
            pool.submit(_batch, range(begin, min(mutants, begin + BATCH)), seed, originals, folder)
            for begin in range(0, mutants, BATCH)
        ]
        results = [task.result() for task in tasks]
    counts = sum((counts for counts, _ in results), Counter[str]())
    return Piece(mutants, "mutants", dict(sorted(counts.items())), [fault for _, found in results for fault in found])


def show(number: int, seed: int, folder: Path) -> int:
    """Try one mutant in this very process, with its messages on the terminal; the exit code."""
    originals = _prepare(folder)
    mutant = _make(number, seed, folder / "mutant", originals)
    print(f"{mutant.arguments}\nfiles: {folder / 'mutant'}", file=sys.stderr)
    _limit(folder)
    (folder / "stdin").write_bytes(mutant.stdin)
    sys.stdin = (folder / "stdin").open()
    return command(["--debug", *mutant.arguments])


def _prepare(folder: Path) -> Originals:
    import s2s_cli.inference.translator
    import s2s_cli.training.dry_run
    import s2s_cli.training.run  # before any fork

    s2s_cli.training.dry_run.SECONDS = 0.05
    return Originals.make(folder)


def _make(number: int, seed: int, place: Path, originals: Originals) -> Mutant:
    place.mkdir()
    return make_mutant(random.Random(f"{seed}/{number}"), place, originals)


# ----------------------------------------------------------------------------------------------------------- the parent


def _batch(numbers: Sequence[int], seed: int, originals: Originals, folder: Path) -> tuple[Counter[str], list[str]]:
    """Try these mutants; counts of how they ended, and what was wrong."""
    counts, failures, left = Counter[str](), [], list(numbers)
    while left:
        for record in _watch(left, seed, originals, folder):
            number, fault = record["number"], record["fault"]
            left = left[left.index(number) + 1 :]
            counts[f"exit {record['code']}"] += 1
            if fault:
                failures.append(f"--seed {seed} --only {number}: {fault}")
    return counts, failures


def _watch(numbers: Sequence[int], seed: int, originals: Originals, folder: Path) -> Iterator[dict[str, Any]]:
    """The records of one child, up to the end of its work or of its life."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _work(numbers, seed, originals, folder, writing)
    os.close(writing)
    current: dict[str, Any] = {}
    with open(reading, "rb", buffering=0) as pipe:
        rest = b""
        while True:
            hangs = not select.select([pipe], [], [], SECONDS)[0]
            data = b"" if hangs else pipe.read(65_536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                current = json.loads(line)
                if "fault" in current:
                    yield current
                    current = {}
    os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if current:
        fault = f"hangs for {SECONDS:.0f} s" if hangs else f"crashes: {os.waitstatus_to_exitcode(status)}"
        yield current | {"fault": fault, "code": "hang" if hangs else "crash"}


# ------------------------------------------------------------------------------------------------------------ the child


def _work(numbers: Sequence[int], seed: int, originals: Originals, folder: Path, records: int) -> NoReturn:
    """Try mutant after mutant in this process; a record before and after each."""
    try:
        os.setsid()
        _limit(folder)
        for number in numbers:
            place = folder / f"mutant-{seed}-{number}"
            _send(records, {"number": number})
            mutant = _make(number, seed, place, originals)
            code, output, messages = _try(mutant, place)
            fault = judge(mutant, code, output, messages)
            _send(records, {"number": number, "code": code, "fault": fault and f"{mutant.arguments[:2]}: {fault}"})
            if not fault:
                shutil.rmtree(place, ignore_errors=True)
    finally:
        os._exit(0)


def _limit(folder: Path) -> None:
    """Bound what this process may take. Nothing waits for the disk: no plug is pulled here."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.fsync = lambda descriptor: None
    os.chdir(folder)


def _send(records: int, record: dict[str, Any]) -> None:
    os.write(records, json.dumps(record).encode() + b"\n")


def _try(mutant: Mutant, place: Path) -> tuple[int, bytes, str]:
    """Run the command with files as its three streams; its exit code, output and messages."""
    paths = [place / name for name in ("stdin", "stdout", "stderr")]
    paths[0].write_bytes(mutant.stdin)
    for number, (path, mode) in enumerate(zip(paths, ("rb", "wb", "wb"), strict=True)):
        with path.open(mode) as file:
            os.dup2(file.fileno(), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww"))
    try:
        code = command(mutant.arguments)
    except BaseException:  # the door itself lets something through
        traceback.print_exc()
        code = -1
    sys.stderr.flush()
    return code, paths[1].read_bytes(), paths[2].read_text(encoding="utf-8", errors="replace")


def judge(mutant: Mutant, code: int, output: bytes, messages: str) -> str:
    """What is wrong with how a command took its input; empty if nothing is."""
    if "Traceback" in messages or "the program is at fault" in messages:
        return f"a fault of the program: {messages.strip().splitlines()[-1]}"
    if code not in CODES:
        return f"exit code {code}: {messages[-300:]}"
    if code == 0:
        lines = output.count(b"\n")
        return "" if mutant.lines in (None, lines) else f"{lines} lines out"
    told = messages[messages.rfind("error: ") :] if "error: " in messages else ""
    if not told and "Usage: " in messages:
        return ""  # Typer explains wrong options in its own form
    lines = told.strip("\n").split("\n")
    if not told or max(map(len, lines)) > LONGEST or len(lines) > (MOST_FAULTS if code == 2 else 1):
        return f"not one sentence: {messages[-LONGEST:]!r}"
    if not all(line.isprintable() for line in lines):
        return f"control characters: {told!r}"
    named = "not enough memory" in told or any(name in told for name in mutant.names)
    return "" if named else f"names no file: {told!r}"
