"""What a full disk, a kill, an interrupt or another process leaves of a preparation."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import time
from itertools import repeat
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_corpora import hashes, tiny_recipe

from s2s_cli import atomic, processes
from s2s_cli.data import clean_text, preparation, tokenising
from s2s_cli.data.preparation import prepare
from s2s_cli.data.prepared import open_prepared
from s2s_cli.errors import MachineError
from s2s_cli.sealed import ManifestWriter


def test_a_full_disk_leaves_the_old_data(corpora: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = hashes(run)

    def full(*arguments: object, **facts: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(ManifestWriter, "seal", full)
    with pytest.raises(MachineError, match="No space left"):
        prepare(tiny_recipe(), corpora, run, force=True)
    assert hashes(run) == first


def _wait_within(corpora: Path, run: Path, waiting: Event, go_on: Event) -> None:
    """In a process of its own: prepare, and wait in the midst of it."""
    encode = preparation.encode_pairs

    def wait(*arguments: Any) -> dict[str, Any]:
        waiting.set()
        assert go_on.wait(120)
        return encode(*arguments)

    preparation.encode_pairs = wait
    prepare(tiny_recipe(), corpora, run)


def test_two_preparations_at_once_leave_each_other_alone(corpora: Path, tmp_path: Path) -> None:
    run, context = tmp_path / "run", multiprocessing.get_context("fork")
    waiting, go_on = context.Event(), context.Event()
    other = context.Process(target=_wait_within, args=(corpora, run, waiting, go_on))
    other.start()
    assert waiting.wait(120)
    prepare(tiny_recipe(), corpora, run)
    whole = hashes(run / "data")
    assert len(list(run.iterdir())) == 2  # the temporary of the other is untouched
    go_on.set()
    other.join()
    assert other.exitcode == 0
    assert hashes(run) == {f"data/{name}": digest for name, digest in whole.items()}


def _killed_at(stage: str, corpora: Path, run: Path) -> None:
    """In a process of its own: prepare, and be killed where `stage` is called, before it does anything."""

    process = os.getpid()

    def kill(*arguments: object, **options: object) -> None:
        os.kill(process, signal.SIGKILL)  # also from a worker

    setattr({"seal": ManifestWriter, "_publish": atomic}.get(stage, preparation), stage, kill)
    prepare(tiny_recipe(), corpora, run, force=True)


STAGES = ["clean_corpora", "train_tokenizers", "save_tokenizers", "encode_pairs", "seal", "_publish"]


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("prepared_before", [pytest.param(False, marks=pytest.mark.slow), True])
def test_killed_and_run_again(corpora: Path, run: Path, stage: str, prepared_before: bool) -> None:
    expected = hashes(run)
    if not prepared_before:
        shutil.rmtree(run)
    process = multiprocessing.get_context("fork").Process(target=_killed_at, args=(stage, corpora, run))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    if prepared_before:
        open_prepared(run)
    else:
        assert not (run / "data").exists()
    prepare(tiny_recipe(), corpora, run)
    assert hashes(run) == expected


def _interrupted_at(corpora: Path, run: Path, training: Event) -> None:
    """In a process of its own: prepare, with a training of tokenizers that takes an hour and looks for no signal."""

    def train(*arguments: object) -> None:
        training.set()
        sum(repeat(1, 10**12))

    preparation.train_tokenizers = train
    with pytest.raises(KeyboardInterrupt):
        prepare(tiny_recipe(), corpora, run)


def test_an_interrupt_takes_effect_even_while_tokenizers_are_trained(corpora: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    training = context.Event()
    process = context.Process(target=_interrupted_at, args=(corpora, tmp_path / "run", training))
    process.start()
    assert training.wait(120) and process.pid is not None
    os.kill(process.pid, signal.SIGINT)
    process.join(120)
    process.kill()  # if it is deaf
    assert process.exitcode == 0
    assert list((tmp_path / "run").iterdir()) == []


def _prepare_in_chunks(corpora: Path, run: Path) -> None:
    clean_text.CHUNK = tokenising.CHUNK = 16
    processes.usable_cores = lambda: 2
    prepare(tiny_recipe(), corpora, run)


@pytest.mark.slow
def test_killed_at_random_moments(corpora: Path, run: Path, tmp_path: Path) -> None:
    expected, whole = hashes(run), hashes(run / "data")
    random = np.random.default_rng(0)
    for trial in range(100):
        run = tmp_path / f"run{trial}"
        process = multiprocessing.get_context("fork").Process(target=_prepare_in_chunks, args=(corpora, run))
        process.start()
        time.sleep(float(random.uniform(0, 0.3)))
        process.kill()
        process.join()
        if (run / "data").exists():
            assert hashes(run / "data") == whole
        prepare(tiny_recipe(), corpora, run)
        assert hashes(run) == expected
