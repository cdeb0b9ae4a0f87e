"""Writing of a corpus: by all cores, in shards that outlive the process, sealed at the end.

What is written depends on neither the number of workers nor on interruptions: the translation of a line does not depend
on other lines, and what is drawn for a line depends on its number in the file alone.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from s2s_cli import atomic, console
from s2s_cli.cores import usable_cores
from s2s_cli.data.manifest import fingerprint
from s2s_cli.errors import DataError
from s2s_cli.inference.translation import LinesLost
from s2s_cli.inference.translator import Translator
from s2s_cli.processes import in_chunks
from s2s_cli.sealed import MANIFEST, ManifestWriter, file_sha256
from s2s_cli.synthesis.plan import TEXT, Plan, WrittenManifest

SECONDS = 5.0
"""For how long translating is timed, at most, about."""
PROBE = 32  # lines that are translated first
MANY = 5000  # lines of which it is said how long they will take


class Trial(NamedTuple):
    """Some of the given lines, their translations, and how long these, or all lines, take."""

    given: list[str]
    written: list[str]
    seconds: float


def write_corpus(plan: Plan, workers: int | None = None) -> None:
    """Write one corpus, or the rest of it. workers: by default one for each core.

    Raises DataError if the given file is not sound, or changes meanwhile, as a model may do before it is loaded; the
    errors of `Translator.load`.
    """
    shards = plan.directory.with_name(f"{plan.directory.name}.unfinished")
    places, whole, lines, left = list[Path](), set[Path](), 0, 0
    for number, given in enumerate(in_chunks(plan.lines.read(), plan.shard)):
        places.append(place := _shard(shards, number, given))
        lines += len(given)
        if _is_whole(place, given):
            whole.add(place)
        else:
            left += len(given)
    with (
        _translator(plan, workers) as translator,
        console.progress(plan.name, total=lines, unit=" lines", start=lines - left) as bar,
    ):
        _tell(plan, translator, lines, left)
        for number, given in enumerate(in_chunks(plan.lines.read(), plan.shard)):
            place = _shard(shards, number, given)
            if place not in whole:
                atomic.replace_file(place, _joined(_translated(plan, translator, given, number * plan.shard)))
                bar.update(len(given))
    if fingerprint(plan.lines.file).sha256 != plan.made_of["given"]:
        raise DataError("changed while it was translated", where=plan.lines.file.path, hint="run the command again")
    with atomic.new_directory(plan.directory) as directory:
        writer = ManifestWriter(directory)
        writer.write(TEXT[plan.side], map(_joined, in_chunks(plan.lines.read(), plan.shard)))
        writer.write(TEXT[plan.written_side], (place.read_bytes() for place in places))
        writer.seal(WrittenManifest, made_of=plan.made_of)
    shutil.rmtree(shards, ignore_errors=True)


def try_corpus(plan: Plan, directory: Path) -> int:
    """Write a sample of a corpus into a new directory, and say how long all of it will take. Returns the number of its
    lines."""
    lines = sum(1 for _ in plan.lines.read())
    with _translator(plan) as translator:
        trial = try_lines(plan, translator, lines)
    directory.mkdir(parents=True)
    (directory / TEXT[plan.side]).write_bytes(_joined(trial.given))
    (directory / TEXT[plan.written_side]).write_bytes(_joined(trial.written))
    console.say(
        f"{plan.name}: writing the {plan.written_side} of {lines:,} lines will take about"
        f" {console.duration(trial.seconds)}; this dry run goes on with {len(trial.given):,} of them"
    )
    return lines


def try_lines(plan: Plan, translator: Translator, lines: int) -> Trial:
    """Translate lines from all over the file, and infer how long all of them will take.

    lines: how many there are. Few lines are slower than many: the first ones start the model, and a few are not shared
    among the workers. So more and more are translated, until they take a share of `SECONDS`.
    """
    size, most = PROBE, min(lines, plan.shard)
    trial = _timed(plan, translator, _spread(plan.lines.read(), lines, size))
    while size < most and (size == PROBE or trial.seconds < SECONDS / 4):
        size = min(most, max(PROBE + 1, min(4 * size, int(size * SECONDS / trial.seconds))))
        trial = _timed(plan, translator, _spread(plan.lines.read(), lines, size))
    return trial._replace(seconds=trial.seconds / max(1, len(trial.given)) * lines)


def _timed(plan: Plan, translator: Translator, given: list[str]) -> Trial:
    begin = time.perf_counter()
    written = _translated(plan, translator, given, 0)
    return Trial(given, written, time.perf_counter() - begin)


def _tell(plan: Plan, translator: Translator, lines: int, left: int) -> None:
    """Say what is to be done; if it is much, also how long it will take."""
    *others, last = plan.made_of["by"]
    by = f"{', '.join(others)} and {last} write" if others else f"{last} writes"
    rest = f" (the {left:,} that are left)" if left < lines else ""
    duration = ""
    if left >= MANY:
        seconds = try_lines(plan, translator, lines).seconds * left / lines
        duration = f"; this takes about {console.duration(seconds)}"
    console.say(f"{plan.name}: {by} the {plan.written_side} of {lines:,} lines{rest}{duration}")


def _translator(plan: Plan, workers: int | None = None) -> Translator:
    workers = workers or plan.threads or usable_cores()
    translator = Translator.load(plan.models, device=plan.device, threads=plan.threads, workers=workers)
    if plan.made_of["models"] != [file_sha256(model / MANIFEST) for model in plan.models]:
        raise DataError("a model was changed since the work began", hint="run the command again")
    return translator


def _translated(plan: Plan, translator: Translator, given: list[str], first: int) -> list[str]:
    """first: number of the first line in the file, counted from 0."""
    try:
        found = translator.translate(given, plan.search(translator.options), first=first)
    except LinesLost as lost:
        raise LinesLost(lost.numbers, str(plan.lines.file.path)) from None
    return [translation.text for translation in found]


def _spread(lines: Iterable[str], count: int, most: int) -> list[str]:
    """At most so many of `count` lines, at equal distances."""
    return list(islice(lines, 0, None, max(1, -(-count // most))))


def _shard(shards: Path, number: int, given: Sequence[str]) -> Path:
    """Named by what it translates, since the file may change for a while."""
    return shards / f"{number:08}-{hashlib.sha256(_joined(given)).hexdigest()[:16]}.txt"


def _is_whole(shard: Path, given: Sequence[str]) -> bool:
    """Whether a shard was written before; its file appeared as a whole."""
    return shard.is_file() and shard.read_bytes().count(b"\n") == len(given)


def _joined(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
