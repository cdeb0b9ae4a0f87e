"""The reports of training: messages, the progress bar, and metrics.jsonl, which has one JSON object a line."""

from __future__ import annotations

import json
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import torch

from s2s_cli import atomic, console
from s2s_cli.errors import MachineError
from s2s_cli.model.kernels.backend import passes_name
from s2s_cli.model.kernels.fused import FusedKernel
from s2s_cli.model.precision import precision_of
from s2s_cli.training.trainer import Position, Trainer, Update
from s2s_cli.training.validation import Figures

LOG_EVERY = 50
"""Updates between two lines of the log."""

Kind = Literal["train", "validation", "test"]
ORDER: dict[Kind, int] = {"train": 0, "validation": 1, "test": 2}
"""The order in which lines of the same update are written."""


def machinery(trainer: Trainer) -> str:
    """The kernel, precision and device of training, as text."""
    kernel = "reference kernel"
    if isinstance(trainer.model.kernel, FusedKernel):
        kernel = f"fused kernel, {passes_name(trainer.dtype, trainer.device)} passes"
    threads = torch.get_num_threads()
    place = f"{threads} thread{'s' * (threads > 1)}" if trainer.device.type == "cpu" else "GPU"
    processes = f", {trainer.group.size} processes" if trainer.group.size > 1 else ""
    return f"{kernel}, {precision_of(trainer.dtype)}, {place}{processes}"


@dataclass
class Window:
    """Sums over the updates since the last line of the log. Snapshots include them, so that a line is the same whether
    or not training was interrupted before it."""

    nll: float = 0.0
    tokens: int = 0
    skipped: int = 0

    def add(self, update: Update) -> None:
        if update.skipped:
            self.skipped += 1
        else:
            self.nll += update.nll
            self.tokens += update.tokens

    @property
    def loss(self) -> float:
        """Nats per target token."""
        return self.nll / self.tokens if self.tokens else float("nan")


class MetricsLog:
    """An append-only file, except that resuming from a checkpoint first removes the lines written after it.

    A line that cannot be written is told of and kept until the next one: figures must not end a training, and with it
    what was learnt since the last checkpoint. `settle` gives them up.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._unwritten = path, list[str]()

    def forget_after(self, update: int, kind: Kind) -> None:
        """Drop all lines that come after those of this kind and update, and a last line that was cut short."""
        if not self.path.exists():
            return
        old = self.path.read_bytes()
        kept = (line for line in old.split(b"\n") if _place(line) <= (update, ORDER[kind]))
        new = b"".join(line + b"\n" for line in kept)
        if new != old:
            atomic.replace_file(self.path, new)

    def tests(self) -> dict[str, str | None]:
        """The test sets whose scores it has, and the checksum of each; None: an older version did not note it."""
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        contents = (json.loads(line) for line in lines if b'"test"' in line and _place(line)[1] == ORDER["test"])
        return {content.get("name"): content.get("data") for content in contents}

    def write(self, kind: Kind, update: int, **figures: Any) -> None:
        """Append one line. Figures that are not finite become null, since JSON cannot express them."""
        finite = {key: None if _is_broken(value) else value for key, value in figures.items()}
        self._unwritten.append(json.dumps({"kind": kind, "update": update, **finite}, ensure_ascii=False) + "\n")
        if (fault := self._append()) and len(self._unwritten) == 1:
            console.warn(f"{fault}; training goes on, and its figures wait for room")

    def flush(self) -> None:
        """Have all that was written on the disk. A fault is left to whoever writes there next."""
        with suppress(MachineError):
            atomic.flush(self.path)

    def settle(self) -> None:
        """The end of training: write what is left, or tell how much is lost."""
        if self._unwritten and (fault := self._append()):
            console.warn(f"{fault}; the last {len(self._unwritten)} lines are lost")
            self._unwritten.clear()

    def _append(self) -> MachineError | None:
        try:
            atomic.append(self.path, "".join(self._unwritten).encode())
        except MachineError as error:
            return error
        self._unwritten.clear()
        return None


def _is_broken(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _place(line: bytes) -> tuple[float, int]:
    """The position of a line in the log; anything that is not a line of this log comes after all others."""
    try:
        content = json.loads(line)
        return int(content["update"]), ORDER[content["kind"]]
    except (ValueError, KeyError, TypeError, OverflowError):
        return math.inf, 0


class TrainingReport:
    """A progress bar over all pairs of all epochs, a line for each validation, and metrics.jsonl.

    The figures of a training line belong to the updates since the line before; only speed is that of this process.
    """

    def __init__(self, name: str, done: int, total: int, log: MetricsLog, window: Window) -> None:
        """name: of the run. done, total: pairs seen so far, and the most that will be seen."""
        self.log, self.window = log, window
        self.bar = console.progress(f"train {name}", total=total, unit="pair", start=done)
        self.dev = ""
        self.tokens, self.began = 0, time.perf_counter()

    def __enter__(self) -> TrainingReport:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
        self.log.settle()

    def update(self, position: Position, update: Update, pairs: int, *, last: bool) -> None:
        """One update was made. pairs: number of its pairs. last: whether it is the last of training."""
        self.window.add(update)
        self.tokens += update.tokens
        self.bar.update(pairs)
        if position.update % LOG_EVERY == 0 or last:
            self._write(position, update)

    def _write(self, position: Position, update: Update) -> None:
        window, seconds = self.window, time.perf_counter() - self.began
        speed = round(self.tokens / seconds)
        self.log.write(
            "train",
            position.update,
            epoch=position.epochs_begun,
            loss=window.loss,
            learning_rate=update.learning_rate,
            gradient_norm=update.gradient_norm,
            tokens=window.tokens,
            skipped=window.skipped,
            seconds=round(seconds, 3),
            tokens_per_second=speed,
        )
        self.bar.set_postfix_str(f"loss {window.loss:.3f}, {speed:,} tokens/s{self.dev}")
        window.nll, window.tokens, window.skipped = 0.0, 0, 0
        self.tokens, self.began = 0, time.perf_counter()

    def validation(self, position: Position, figures: Figures, improved: bool, seconds: float) -> None:
        """A validation was made; seconds: its duration."""
        self.dev = f", dev BLEU {figures.bleu:.1f}"
        self.log.write(
            "validation",
            position.update,
            epoch=position.epochs_begun,
            loss=figures.loss,
            perplexity=figures.perplexity,
            bleu=figures.bleu,
            chrf=figures.chrf,
            best=improved,
            seconds=round(seconds, 2),
        )
        console.say(
            f"update {position.update:,} (epoch {position.epochs_begun}): dev loss {figures.loss:.3f},"
            f" perplexity {figures.perplexity:.2f}, BLEU {figures.bleu:.2f}, chrF {figures.chrf:.2f}"
            + (", the best so far" if improved else "")
        )
        self.began += seconds


class NoReport:
    """The report of a process that does not lead its group, which prints and writes nothing."""

    def __enter__(self) -> NoReport:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, position: Position, update: Update, pairs: int, *, last: bool) -> None: ...

    def validation(self, position: Position, figures: Figures, improved: bool, seconds: float) -> None: ...


Report = TrainingReport | NoReport
