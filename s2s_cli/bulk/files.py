"""Translation of files by Ray: their parts are its tasks.

A part is a unit of work (`s2s_cli.bulk.unit`), so nothing is lost or done twice whatever dies, this process included:
the same command then goes on. What is read and written lies in folders that all machines see under the same names.
"""

from __future__ import annotations

import functools
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from s2s_cli import compression, console
from s2s_cli.bulk import cluster
from s2s_cli.bulk.cutting import WHOLE, Part
from s2s_cli.bulk.joining import divisions_of, join, part_path
from s2s_cli.bulk.unit import Task, sweep, translate_file
from s2s_cli.errors import UsageError
from s2s_cli.inference.translator import Translator

LEAST_BYTES, MOST_BYTES, USUAL_PARTS = 1 << 16, 1 << 20, 64
"""A file is cut into 64 parts, unless they would be smaller or larger than this: a part is the work of some seconds."""


class Step(NamedTuple):
    """Something to be done for the file `target`, and the bytes of the source that are then done."""

    target: Path
    do: Callable[..., None]
    arguments: tuple[Any, ...]
    part: Part = WHOLE
    size: int = 0


def translate_files(
    files: Sequence[tuple[Path, Path]], task: Task, address: str, workers: int | None = None
) -> Iterator[Path]:
    """Translate each file into another one, and yield this when it is there, in the order of their ends.

    address: as of `cluster.connected`. workers: most parts that are translated at a time, by default as many as Ray has
    processor cores, also while machines come and go. Raises MachineError where a part was given up, and the first error
    of a part.
    """
    with cluster.connected(address, workers) as ray, console.progress("translating", unit="B") as bar:
        steps = (step for source, target in files for step in _steps(source, target, task))
        left: dict[Path, int] = {}  # parts of the files that are being translated
        joins, running = deque[Step](), dict[Any, Step]()
        while True:
            width = workers or cluster.cores_of(ray)
            while len(running) < width and (step := joins.popleft() if joins else next(steps, None)):
                running[cluster.start(ray, step.do, *step.arguments)] = step
            if not running:
                return sweep(target for _, target in files)
            for reference in cluster.ready(ray, list(running)):
                step = running.pop(reference)
                cluster.result_of(ray, reference, step.target)
                bar.update(step.size)
                if step.part == WHOLE:
                    yield step.target
                    continue
                left[step.target] = left.get(step.target, step.part.of) - 1
                if not left[step.target]:
                    del left[step.target]
                    joins.append(Step(step.target, _join, (step.arguments[0], step.target, task)))


def parts_of(size: int) -> int:
    """The number of parts of a file, by its bytes alone: it is cut in the same way whenever the work goes on."""
    return max(1, size // min(max(size // USUAL_PARTS, LEAST_BYTES), MOST_BYTES))


def _steps(source: Path, target: Path, task: Task) -> Iterator[Step]:
    """The parts of a file; what cannot be cut, or is there already, is one. Raises UsageError if there are other parts
    than it has now."""
    size, is_there = source.stat().st_size, os.path.lexists(target)
    count = 1 if compression.suffix_of(source) or is_there else parts_of(size)
    if not is_there and divisions_of(_folder(target) / target.name) - {count}:
        raise UsageError("these parts were made of another input", where=_folder(target), hint="remove this folder")
    for number in range(1, count + 1):
        part = Part(number, count)
        place = target if part == WHOLE else part_path(_folder(target) / target.name, part)
        yield Step(target, _translate, (source, place, task, part), part, size // count)


def _folder(target: Path) -> Path:
    """Where the parts of a file lie until they are joined."""
    return target.with_name(f".{target.name}.parts")


# ----------------------------------------------------------------------------------------------- what other machines do


def _translate(source: Path, target: Path, task: Task, part: Part) -> None:
    translate_file(source, target, task, lambda: _translator(task), part)
    if part == WHOLE:  # which has parts if the process that joined them was killed before it could remove them
        shutil.rmtree(_folder(target), ignore_errors=True)


@functools.lru_cache(maxsize=1)
def _translator(task: Task) -> Translator:
    """One for each process. Packed weights are mapped, so that the processes of a machine share them."""
    return task.load(threads=1)


def _join(source: Path, target: Path, task: Task) -> None:
    if os.path.lexists(target):  # by a process that was lost while it removed the parts
        return _translate(source, target, task, WHOLE)
    join(source, target, _folder(target) / target.name)
    shutil.rmtree(_folder(target), ignore_errors=True)
