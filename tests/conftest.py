"""How examples are made; faults of the operating system to meet, and children to kill."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from s2s_cli import atomic

# The same examples each time, however slow the machine. `--hypothesis-profile exploring` tries new ones.
UNHURRIED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}
settings.register_profile("exploring", **UNHURRIED)
settings.register_profile("steady", derandomize=True, **UNHURRIED)
settings.load_profile("steady")

# Tests run side by side: several threads each would wait for one another, on a busy machine for most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # and those of the tests that want several spin while they wait

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts the tests in the background has them ignore it, and so would all processes that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def fail() -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


class Faults:
    """Counts the calls that change the disk, and does something else instead of one of them."""

    functions = ("write", "fsync", "rename", "replace")

    def __init__(self) -> None:
        self.calls: list[str] = []

    @contextmanager
    def at(self, index: int | None, action: Callable[[], None] = fail) -> Iterator[None]:
        """`action` happens before the call of this index (None: never)."""
        self.calls = []
        with pytest.MonkeyPatch.context() as patch:
            for name in self.functions:
                patch.setattr(os, name, self._counted(name, getattr(os, name), index, action))
            patch.setattr(atomic, "_exchange", self._counted("exchange", atomic._exchange, index, action))
            yield

    def _counted(self, name: str, function: Callable, index: int | None, action: Callable[[], None]) -> Callable:
        def counted(*arguments, **options):
            self.calls.append(name)
            if len(self.calls) - 1 == index:
                action()
            return function(*arguments, **options)

        return counted


@pytest.fixture
def faults() -> Faults:
    return Faults()


def in_child(function: Callable[[], str]) -> tuple[int, str]:
    """Run in a forked process. Returns how it ended (negative: the signal) and what it returned, or its traceback."""
    reading, writing = os.pipe()
    child = start_child(lambda: os.write(writing, function().encode()), report=writing)
    os.close(writing)
    with open(reading) as pipe:
        text = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text


def start_child(function: Callable[[], object], report: int = 2) -> int:
    """Fork a process that calls the function and ends. Returns its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(1)  # its other threads are not forked with it, and it would wait for them
        function()
        status = 0
    except BaseException:
        os.write(report, traceback.format_exc().encode())
    finally:
        os._exit(status)


def leftovers(directory: Path) -> list[str]:
    """Temporaries and other hidden things in a directory."""
    return [name for name in os.listdir(directory) if name.startswith(".")]


def export(directory: Path, languages: tuple[str, str], tokenizers: Any, *, seed: int = 1, **changes: Any) -> Path:
    """A model directory: a tiny model with random weights, which translates into gibberish.

    changes: of its recipe, or of its weights (`bias`, of the output by symbol); or whether it is also `packed` for the
    engine.
    """
    import torch

    from s2s_cli import __version__
    from s2s_cli.checkpoint.model_directory import save_model
    from s2s_cli.model.building import build_model
    from s2s_cli.recipe import schema
    from s2s_cli.training.decoding import packed

    torch.manual_seed(seed)
    bias, is_packed = changes.pop("bias", {}), changes.pop("packed", False)
    sizes = {"embedding": 8, "encoder": {"hidden": 8}, "decoder": {"hidden": 16}, "attention": {"size": 8}}
    model = schema.Model.read(sizes | changes)
    config = {
        "s2s_version": __version__,
        "name": "tiny",
        "languages": dict(zip(("source", "target"), languages, strict=True)),
        "model": model.values(),
        "source_vocabulary": tokenizers.source.size,
        "target_vocabulary": tokenizers.target.size,
        "decoding": schema.Decoding(beam=2).values(),
        "max_pieces": 30,
    }
    weights = build_model(model, tokenizers.source.size, tokenizers.target.size).state_dict()
    for symbol, value in bias.items():
        weights["output.bias"][symbol] = value
    arrays = packed(weights, model, "int8")[1] if is_packed else None
    save_model(directory, weights, config, tokenizers, "# Tiny\n", packed=arrays)
    return directory


def write_pairs(directory: Path, **sides: tuple[Iterable[Sequence[int]], int]) -> Any:
    """The shards of pairs, opened. sides: of `source` and `target`, the ids of each sentence, and their number."""
    import numpy as np

    from s2s_cli.data.shards import ParallelData, ShardWriter

    for name, (sentences, size) in sides.items():
        with ShardWriter(directory / name, size) as writer:
            for ids in sentences:
                writer.write(np.array(ids), np.array([len(ids)]))
    return ParallelData.open(directory)


class Tools:
    """What tests of several directories share, as one fixture: test directories are not packages."""

    in_child = staticmethod(in_child)
    start_child = staticmethod(start_child)
    leftovers = staticmethod(leftovers)
    export = staticmethod(export)
    write_pairs = staticmethod(write_pairs)


@pytest.fixture(scope="session")
def tools() -> type[Tools]:
    return Tools


@pytest.fixture(params=["exchange", "two renames"])
def replacing(request, monkeypatch) -> str:
    """Both ways of replacing a directory: where two names can be exchanged, and where they cannot."""
    if request.param == "two renames":
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    return request.param
