"""Training by several processes: the same as by one, together in all they do, and ended together."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from digits import ROOT, assert_same_outcome, finish, log_of, signal_at, steps, train_here, write_task
from groups import run_group

from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.errors import DataError, ExitCode
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.training import reporting
from s2s_cli.training.process_group import ProcessGroup
from s2s_cli.training.run import train
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validation import Validator

BASE = ("training.updates=20", "validation.every=8", "training.save_every=5")
NO_DROPOUT = "model.dropout={embedding: 0.0, state: 0.0, readout: 0.0}"
FIGURES = ("loss", "gradient_norm")


@pytest.fixture(scope="module", autouse=True)
def hurry() -> Iterator[None]:
    """Each update has its line in the log, and nothing waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting, "LOG_EVERY", 1)
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"), pairs=94)


@pytest.fixture(scope="module")
def by_one(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process, without dropout."""
    run = tmp_path_factory.mktemp("one") / "run"
    train_here(recipe, run, *BASE, NO_DROPOUT)
    return run


@pytest.fixture(scope="module")
def by_two(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes that nothing disturbed."""
    run = tmp_path_factory.mktemp("two") / "run"
    assert train_group(2, recipe, run, *BASE) == [0, 0]
    return run


def train_group(
    size: int,
    recipe: Path,
    run: Path,
    *overrides: str,
    after_update: Callable[[Trainer], None] | None = None,
    on_one_machine: bool = False,
) -> list[int]:
    """`torchrun -m s2s_cli train`; returns the exit codes. after_update: called in each process after each update."""

    def work(group: ProcessGroup) -> None:
        if after_update is not None:
            update = Trainer.update

            def watched(trainer: Trainer, batches):
                result = update(trainer, batches)
                after_update(trainer)
                return result

            Trainer.update = watched
        train(load_recipe(recipe, overrides), recipe.parent, RunDirectory(run), group)

    return run_group(size, work, on_one_machine=on_one_machine)


def assert_same_curve(run: Path, other: Path) -> None:
    """The logs are the same but for rounding."""
    ours, theirs = log_of(run), log_of(other)
    assert len(ours) == len(theirs) > 0
    for line, expected in zip(ours, theirs, strict=True):
        near = {key: pytest.approx(expected[key], rel=1e-5) for key in FIGURES if key in expected}
        assert line == expected | near | {key: line[key] for key in ("perplexity",) if key in line}


# -------------------------------------------------------------------------------------------------- the same training


@pytest.mark.parametrize(
    ("size", "on_one_machine", "overrides"),
    [
        (2, False, ()),
        (2, True, ()),
        (3, False, ("training.batch_sentences=2", "training.accumulate=2")),  # the third has nothing to do
        (3, True, ("training.batch_sentences=2", "training.updates=3")),
    ],
)
def test_several_processes_train_as_one_and_have_the_same_weights(
    size: int, on_one_machine: bool, overrides: tuple[str, ...], recipe: Path, tmp_path: Path
):
    def note(trainer: Trainer) -> None:
        weights = b"".join(tensor.numpy().tobytes() for tensor in trainer.model.state_dict().values())
        with (tmp_path / f"weights-{trainer.group.rank}").open("a") as file:
            print(sha256(weights).hexdigest(), file=file)
        trainer.group.greatest(0)  # all have noted theirs: to validate, the first one puts the average in their place

    settings = (*BASE, *overrides, NO_DROPOUT)
    train_here(recipe, tmp_path / "one", *settings)
    several = train_group(
        size, recipe, tmp_path / "several", *settings, after_update=note, on_one_machine=on_one_machine
    )
    assert several == [0] * size
    assert_same_curve(tmp_path / "several", tmp_path / "one")
    first, *others = ((tmp_path / f"weights-{rank}").read_text() for rank in range(size))
    assert others == [first] * (size - 1)
    assert len(set(first.splitlines())) == log_of(tmp_path / "one")[-1]["update"]


@pytest.mark.parametrize("on_one_machine", [False, True])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
def test_a_run_goes_on_with_another_number_of_processes(
    before: int, after: int, on_one_machine: bool, recipe: Path, by_one: Path, tmp_path: Path
):
    stages = ((before, ("training.updates=8",)), (after, ()))
    for size, limits in stages:
        settings = (*BASE, NO_DROPOUT, *limits)
        assert train_group(size, recipe, tmp_path / "run", *settings, on_one_machine=on_one_machine) == [0] * size
    assert_same_curve(tmp_path / "run", by_one)


def test_each_process_has_random_numbers_of_its_own(by_two: Path):
    snapshot = CheckpointManager(by_two / "checkpoints", keep=1).load_latest()
    assert snapshot is not None
    assert set(snapshot.random) == {"cpu", "cpu/1"}
    assert not snapshot.random["cpu"].equal(snapshot.random["cpu/1"])


# ------------------------------------------------------------------------------------------------------------ together


@pytest.mark.parametrize(
    ("rank", "number", "code"),
    [(0, signal.SIGINT, ExitCode.INTERRUPTED), (1, signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_a_signal_to_one_process_stops_all_at_the_same_update_and_they_go_on_bit_for_bit(
    rank: int,
    number: signal.Signals,
    code: ExitCode,
    recipe: Path,
    by_two: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
):
    def interrupt(trainer: Trainer) -> None:
        if (trainer.group.rank, trainer.position.update) == (rank, 11):
            os.kill(os.getpid(), number)

    assert train_group(2, recipe, tmp_path / "run", *BASE, after_update=interrupt) == [code, code]
    assert steps(tmp_path / "run")[-1] == 11
    messages = capfd.readouterr().err
    assert messages.count("stopped after update 11") == 1
    assert messages.count("stopping after this step") == (rank == 0)
    assert train_group(2, recipe, tmp_path / "run", *BASE) == [0, 0]
    assert_same_outcome(tmp_path / "run", by_two)


def test_a_signal_in_the_middle_of_a_validation_stops_all(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(validator: Validator, model) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the validation goes on")

    monkeypatch.setattr(Validator, "_loss", interrupted)
    assert train_group(2, recipe, tmp_path / "run", *BASE) == [ExitCode.TERMINATED] * 2
    assert steps(tmp_path / "run")[-1] == 8
    assert [line["kind"] for line in log_of(tmp_path / "run")] == ["train"] * 8


def test_impatience_ends_all_at_the_same_update(recipe: Path, tmp_path: Path):
    hopeless = ("training.learning_rate=1e-9", "validation.every=2", "validation.patience=2")
    assert train_group(2, recipe, tmp_path / "run", *hopeless) == [0, 0]
    assert log_of(tmp_path / "run")[-1]["kind"] == "test"
    assert steps(tmp_path / "run")[-1] < 10


def test_a_finished_run_is_left_as_it_is(recipe: Path, by_two: Path, capfd: pytest.CaptureFixture[str]):
    before = (by_two / "metrics.jsonl").read_bytes()
    assert train_group(2, recipe, by_two, *BASE) == [0, 0]
    assert capfd.readouterr().err.count("training is finished") == 1
    assert (by_two / "metrics.jsonl").read_bytes() == before


# ------------------------------------------------------------------------------------------------------ ended together


@pytest.mark.parametrize("rank", [0, 1])
def test_the_fault_of_one_process_ends_all_and_is_told_once(
    rank: int, recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    def fail(trainer: Trainer) -> None:
        if (trainer.group.rank, trainer.position.update) == (rank, 3):
            raise DataError("something is wrong")

    codes = train_group(2, recipe, tmp_path / "run", *BASE, after_update=fail)
    assert (codes[rank], codes[1 - rank]) == (ExitCode.DATA, ExitCode.MACHINE)
    messages = capfd.readouterr().err
    assert messages.count("something is wrong") == 2  # in the traceback: the line of code and the error
    assert messages.count("Traceback") == 1


def test_a_fault_of_the_first_process_before_training_is_told_once(
    recipe: Path, by_two: Path, capfd: pytest.CaptureFixture[str]
):
    codes = train_group(2, recipe, by_two, *BASE, "model.embedding=8")
    assert set(codes) == {ExitCode.USAGE, ExitCode.MACHINE}
    assert capfd.readouterr().err.count("Error: ") == 1


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_takes_the_others_with_it_and_the_run_goes_on_bit_for_bit(
    rank: int, recipe: Path, by_two: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    def die(trainer: Trainer) -> None:
        if (trainer.group.rank, trainer.position.update) == (rank, 12):
            os.kill(os.getpid(), signal.SIGKILL)

    codes = train_group(2, recipe, tmp_path / "run", *BASE, after_update=die)
    assert (codes[rank], codes[1 - rank]) == (-signal.SIGKILL, ExitCode.MACHINE)
    assert "another process of this training has ended" in capfd.readouterr().err
    assert train_group(2, recipe, tmp_path / "run", *BASE) == [0, 0]
    assert_same_outcome(tmp_path / "run", by_two)


# ------------------------------------------------------------------------------------------------------ with `torchrun`


def start_torchrun(recipe: Path, run: Path, *options: str) -> subprocess.Popen[str]:
    overrides = [word for override in BASE for word in ("--set", override)]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *options),
            *("-m", "--", "s2s_cli", "train", str(recipe), "--run", str(run), *overrides),
        ],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def workers_of(torchrun: subprocess.Popen[str], run: Path, update: int) -> list[int]:
    """The processes that train, once there is a checkpoint of this update."""
    signal_at(torchrun, run, update, signal.SIGCONT)  # which does nothing
    return [int(child) for child in Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()]


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


@pytest.mark.slow
def test_torchrun_starts_the_group_again_when_a_worker_is_killed(recipe: Path, tmp_path: Path):
    assert train_group(2, recipe, tmp_path / "undisturbed", *BASE, on_one_machine=True) == [0, 0]
    torchrun = start_torchrun(recipe, tmp_path / "run", "--max-restarts=1")
    workers = workers_of(torchrun, tmp_path / "run", 5)
    os.kill(workers[-1], signal.SIGKILL)
    code, messages = finish(torchrun)
    assert code == 0, messages
    assert not any(map(alive, workers))
    assert "resuming at update" in messages
    runs = (tmp_path / "run", tmp_path / "undisturbed")
    ours, theirs = (CheckpointManager(run / "checkpoints", keep=1).load(20) for run in runs)
    assert all(tensor.equal(theirs.weights[name]) for name, tensor in ours.weights.items())


@pytest.mark.slow
def test_torchrun_ends_when_a_worker_is_killed(recipe: Path, tmp_path: Path):
    torchrun = start_torchrun(recipe, tmp_path / "run")
    workers = workers_of(torchrun, tmp_path / "run", 5)
    os.kill(workers[0], signal.SIGKILL)
    code, messages = finish(torchrun)
    assert code == 1
    assert not any(map(alive, workers))
    assert re.findall(r"^error: .*", messages, re.MULTILINE) == [
        "error: another process of this training has ended (the same command goes on from the newest checkpoint)"
    ]


@pytest.mark.slow
def test_torchrun_passes_a_signal_on_and_all_is_saved(recipe: Path, tmp_path: Path):
    torchrun = start_torchrun(recipe, tmp_path / "run")
    workers = workers_of(torchrun, tmp_path / "run", 5)
    torchrun.send_signal(signal.SIGTERM)
    code, messages = finish(torchrun)
    assert code != 0
    assert not any(map(alive, workers))
    stopped = re.findall(r"^stopped after update (\d+),", messages, re.MULTILINE)
    assert stopped == [str(steps(tmp_path / "run")[-1])]
    assert "error: " not in messages
