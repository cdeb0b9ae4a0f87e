"""Random lines of bytes through `s2s translate` as a process with pipes: as many lines out as in, in flat memory.

A tenth of them goes through a process of its own with `--json`, where each line says what it was: this checks order.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from .report import Piece
from .task import ROOT

TINY = {
    "embedding": 8,
    "encoder": {"hidden": 8, "bidirectional": False},
    "decoder": {"hidden": 8},
    "attention": {"size": 8},
}
MAX_PIECES = 12
SEARCH = "--greedy --max-length-ratio 0.01 --max-length-offset 3 --batch-tokens 16000 --threads 1".split()
WARM = 0.2  # share of the lines after which memory must not grow any more
MOST_GROWTH = 48 << 20  # bytes

SCRIPTS = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF)]
SCRIPTS += [(0xE00, 0xFFF), (0x1100, 0x11FF), (0x2000, 0x206F), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3)]
SCRIPTS += [(0xE000, 0xF8FF), (0xFB50, 0xFDFF), (0xFE00, 0xFFFF), (0x1F300, 0x1FAFF), (0xE0000, 0xE01EF)]
ODD = [
    "\0",
    "\r",
    "\r\r",
    "\u2028",
    "\u2029",
    "\x85",
    "\x0b",
    "\x0c",
    "\x1b[2J",
    "\ufeff",
    "\ufffe",
    " ",
    "\t",
    "⁇",
    "|||",
]
ODD += ["\u202e", "\u200b", "a\u0301\u0316" * 40, "<s>", "</s>", "<pad>", "▁", "\U0010ffff", "\x1a", "\x04", "\\n"]
BROKEN = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x80", b"\xf0\x9f\x98"]


def torture(lines: int, seed: int, jobs: int, folder: Path) -> Piece:
    """So many lines through several processes side by side."""
    model, checked = make_model(folder / "model"), lines // 10
    share = (lines - checked) // jobs
    streams = [Stream(model, share, f"{seed}/{job}", folder) for job in range(jobs)]
    streams.append(Stream(model, lines - jobs * share, f"{seed}/json", folder, "--json"))
    for stream in streams[:-1]:
        stream.start()
    for stream in streams[:-1]:
        stream.join()
    streams[-1].run()
    figures = {
        "lines in": sum(stream.written for stream in streams),
        "lines out": sum(stream.read for stream in streams),
        "MB": round(sum(stream.size for stream in streams) / 1e6),
        "peak MB": round(max(stream.peak for stream in streams) / 1e6),
        "most growth in MB after a fifth": round(max(stream.growth for stream in streams) / 1e6),
    }
    return Piece(lines, "random lines", figures, [fault for stream in streams for fault in stream.faults()])


def make_model(directory: Path) -> Path:
    """A model of random weights over a SentencePiece vocabulary of many scripts."""
    import torch

    from s2s_cli import __version__
    from s2s_cli.checkpoint.model_directory import save_model
    from s2s_cli.model.building import build_model
    from s2s_cli.recipe import schema
    from s2s_cli.text.hygiene import clean_line
    from s2s_cli.text.sentencepieces import train_sentencepiece
    from s2s_cli.text.tokenizer import TokenizerPair

    chance = random.Random(1)
    alphabets = [(first, min(first + 15, last)) for first, last in SCRIPTS]
    sample = [clean_line(_of_one_script(chance, alphabets, 40)) for _ in range(2000)]
    tokenizer = train_sentencepiece(sample, model="bpe", vocabulary=1000, character_coverage=1.0)
    torch.manual_seed(1)
    model = schema.Model.read(TINY)
    config = {
        "s2s_version": __version__,
        "name": "tiny",
        "languages": {"source": "xx", "target": "yy"},
        "model": model.values(),
        "source_vocabulary": tokenizer.size,
        "target_vocabulary": tokenizer.size,
        "decoding": schema.Decoding().values(),
        "max_pieces": MAX_PIECES,
    }
    weights = build_model(model, tokenizer.size, tokenizer.size).state_dict()
    save_model(directory, weights, config, TokenizerPair(tokenizer, tokenizer), "# Tiny\n")
    return directory


# ------------------------------------------------------------------------------------------------------------ the lines


def random_lines(chance: random.Random) -> Iterator[bytes]:
    """Lines of every kind, without their newlines, for ever."""
    kinds = [_random_bytes, _any_text, _letters, _odd_parts, _blank, _long]
    weights = [30, 30, 20, 15, 5, 0.02]
    while True:
        (kind,) = chance.choices(kinds, weights)
        yield kind(chance).replace(b"\n", b"?")


def _random_bytes(chance: random.Random) -> bytes:
    return chance.randbytes(min(int(chance.expovariate(1 / 40)), 2000))


def _any_text(chance: random.Random) -> bytes:
    return _of_one_script(chance, SCRIPTS, chance.randint(1, 60)).encode()


def _of_one_script(chance: random.Random, scripts: Sequence[tuple[int, int]], length: int) -> str:
    first, last = chance.choice(scripts)
    return "".join(chr(chance.randint(first, last)) if chance.random() < 0.85 else " " for _ in range(length))


def _letters(chance: random.Random) -> bytes:
    return " ".join("ab" * chance.randint(1, 4) for _ in range(chance.randint(1, 12))).encode()


def _odd_parts(chance: random.Random) -> bytes:
    parts = [part.encode() for part in chance.choices(ODD, k=chance.randint(1, 6))]
    return b"a".join([*parts, chance.choice(BROKEN)] if chance.random() < 0.3 else parts)


def _blank(chance: random.Random) -> bytes:
    return b" " * chance.choice([0, 0, 1, 3])


def _long(chance: random.Random) -> bytes:
    return _any_text(chance) * chance.choice([100, 1_000, 20_000])  # up to some megabytes


# ---------------------------------------------------------------------------------------------------------- the process


class Stream(threading.Thread):
    """One translating process, which is fed with so many lines and read at the same time."""

    def __init__(self, model: Path, lines: int, seed: str, folder: Path, *options: str) -> None:
        super().__init__()
        self.lines, self.seed, self.checks_order = lines, seed, "--json" in options
        self.messages = folder / f"messages-{seed.replace('/', '-')}"
        self.command = [sys.executable, "-m", "s2s_cli", "translate", "--model", str(model), *SEARCH, *options]
        self.written = self.read = self.size = self.peak = self.growth = 0
        self.displaced: list[int] = []
        self.code: int | None = None

    def run(self) -> None:
        """Feed, read, count."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        with (
            self.messages.open("wb") as log,
            subprocess.Popen(
                self.command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            ) as process,
        ):
            feeder = threading.Thread(target=self._feed, args=(process,))
            feeder.start()
            watch = threading.Thread(target=self._watch, args=(process,))
            watch.start()
            self._read(process)
            feeder.join()
            self.code = process.wait()
            watch.join()

    def faults(self) -> list[str]:
        """What went wrong, one sentence each."""
        found = []
        if self.code or b"Traceback" in self.messages.read_bytes():
            found.append(f"exit code {self.code}, see {self.messages}")
        if self.read != self.lines or self.written != self.lines:
            found.append(f"{self.written:,} lines in, {self.read:,} lines out")
        if self.displaced:
            found.append(f"{len(self.displaced):,} lines are not in their place, the first being {self.displaced[0]:,}")
        if self.growth > MOST_GROWTH:
            found.append(f"memory grew by {self.growth / 1e6:,.0f} MB after the first fifth")
        return [f"seed {self.seed}: {fault}" for fault in found]

    def _feed(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                for line in islice(random_lines(random.Random(self.seed)), self.lines):
                    pipe.write(line + b"\n")
                    self.written += 1
                    self.size += len(line) + 1
        except BrokenPipeError:
            return  # told by the exit code

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        expected = random_lines(random.Random(self.seed)) if self.checks_order else None
        for line in process.stdout:
            if expected is not None and not _is_of(json.loads(line), next(expected), self.read):
                self.displaced.append(self.read)
            self.read += 1

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Look at the memory of the process now and then."""
        settled = 0
        while process.poll() is None:
            size = _resident(process.pid)
            self.peak = max(self.peak, size)
            if self.read < WARM * self.lines:
                settled = self.peak
            self.growth = self.peak - settled
            time.sleep(0.1)


def _is_of(record: dict, line: bytes, number: int) -> bool:
    """Whether this output belongs to this input. Of a very long line only the beginning is kept."""
    source = line.removesuffix(b"\r").decode("utf-8", errors="replace")
    source = source if number else source.removeprefix("\ufeff")
    kept = record["source"]
    return record["line"] == number and (kept == source or (len(line) > 1 << 20 and source.startswith(kept)))


def _resident(process: int) -> int:
    """Bytes of memory that a process has; 0 once it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
