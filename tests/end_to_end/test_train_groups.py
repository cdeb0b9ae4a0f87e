"""Training by several processes: the same as by one, together in all they do, and ended together."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import groups
import pytest
import torch.distributed as dist
from digits import NOISE, ROOT, assert_same_outcome, log_of, signal_at, steps, train_here, write_task
from groups import Ended
from starts import PATIENCE

from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.data.preparation import prepare
from s2s_cli.errors import DataError, ExitCode
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.training import process_group, reporting
from s2s_cli.training.exchange import ThroughMemory
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validation import Validator

BASE = ("training.updates=10", "validation.every=4", "training.save_every=3")
NO_DROPOUT = "model.dropout={embedding: 0.0, state: 0.0, readout: 0.0}"
SAMPLED = NOISE[:2]
FIGURES = ("loss", "gradient_norm")
GONE = "error: another process of this training has ended (the same command resumes from the newest checkpoint)"


@pytest.fixture(scope="module", autouse=True)
def hurry() -> Iterator[None]:
    """Each update has its line in the log, and nothing waits for the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reporting, "LOG_EVERY", 1)
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside it, in `data`, lies what it prepares."""
    recipe = write_task(tmp_path_factory.mktemp("task"), pairs=94)
    prepare(load_recipe(recipe), recipe.parent, recipe.parent)
    return recipe


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
    assert train_group(2, recipe, run, *BASE, prepares=True).codes == [0, 0]
    return run


def train_group(size: int, recipe: Path, run: Path, *overrides: str, **options: Any) -> Ended:
    """`s2s train` by a group, with data that is prepared; its members' messages lie beside the run. options: as of
    `groups.train_group`."""
    if not (options := {"prepares": False} | options)["prepares"] and not (run / "data").exists():
        shutil.copytree(recipe.parent / "data", run / "data")
    arguments = ["train", str(recipe), "--run", str(run)]
    arguments += [word for override in overrides for word in ("--set", override)]
    messages = run.with_name(f"messages-{len(list(run.parent.glob('messages-*')))}")
    ended = groups.train_group(size, arguments, messages, **options)
    print(ended.messages)  # for whoever reads why a test failed
    return ended


def assert_same_curve(run: Path, other: Path) -> None:
    """The logs are the same but for rounding."""
    ours, theirs = log_of(run), log_of(other)
    assert len(ours) == len(theirs) > 0
    for line, expected in zip(ours, theirs, strict=True):
        near = {key: pytest.approx(expected[key], rel=1e-5) for key in FIGURES if key in expected}
        assert line == expected | near | {key: line[key] for key in ("perplexity",) if key in line}


# -------------------------------------------------------------------------------------------------- the same training


def note_weights(trainer: Trainer, *, below: Path) -> None:
    assert (trainer.average is None) == (not trainer.group.leads)  # a copy of all weights, which the others never use
    weights = b"".join(tensor.numpy().tobytes() for tensor in trainer.model.state_dict().values())
    with (below / f"weights-{trainer.group.rank}").open("a") as file:
        print(sha256(weights).hexdigest(), file=file)
    trainer.group.greatest(0)  # all have noted theirs: to validate, the first one puts the average in their place


@pytest.mark.parametrize(
    ("size", "on_one_machine", "overrides"),
    [
        (1, True, ("training.threads=2",)),
        (2, False, ()),
        (2, True, ()),
        (2, True, SAMPLED),
        # The third has nothing to do.
        pytest.param(3, False, ("training.batch_sentences=2", "training.accumulate=2"), marks=pytest.mark.slow),
        (3, True, ("training.batch_sentences=2", "training.updates=3")),
    ],
)
def test_several_processes_train_as_one_and_have_the_same_weights(
    size: int, on_one_machine: bool, overrides: tuple[str, ...], recipe: Path, tmp_path: Path
):
    settings = (*BASE, *overrides, NO_DROPOUT)
    train_here(recipe, tmp_path / "one", *settings)
    options = {"after_update": partial(note_weights, below=tmp_path), "on_one_machine": on_one_machine}
    options |= {"prepares": overrides == SAMPLED}
    assert train_group(size, recipe, tmp_path / "several", *settings, **options).codes == [0] * size
    assert_same_curve(tmp_path / "several", tmp_path / "one")
    first, *others = ((tmp_path / f"weights-{rank}").read_text() for rank in range(size))
    assert others == [first] * (size - 1)
    assert len(set(first.splitlines())) == log_of(tmp_path / "one")[-1]["update"]


@pytest.mark.parametrize(
    ("before", "after", "on_one_machine"),
    [
        (1, 2, True),
        (2, 3, True),
        pytest.param(2, 1, False, marks=pytest.mark.slow),
        pytest.param(1, 2, False, marks=pytest.mark.slow),
        pytest.param(2, 1, True, marks=pytest.mark.slow),
        pytest.param(2, 3, False, marks=pytest.mark.slow),
    ],
)
def test_a_run_goes_on_with_another_number_of_processes(
    before: int, after: int, on_one_machine: bool, recipe: Path, by_one: Path, tmp_path: Path
):
    stages = ((before, ("training.updates=4",)), (after, ()))
    for size, limits in stages:
        settings = (*BASE, NO_DROPOUT, *limits)
        ended = train_group(size, recipe, tmp_path / "run", *settings, on_one_machine=on_one_machine)
        assert ended.codes == [0] * size
    assert_same_curve(tmp_path / "run", by_one)


def test_each_process_has_random_numbers_of_its_own(by_two: Path):
    snapshot = CheckpointManager(by_two / "checkpoints", keep=1).load_latest()
    assert snapshot is not None
    assert set(snapshot.random) == {"cpu", "cpu/1"}
    assert not snapshot.random["cpu"].equal(snapshot.random["cpu/1"])


# ------------------------------------------------------------------------------------------------------------ together


def send_itself(trainer: Trainer, *, rank: int, update: int, number: signal.Signals) -> None:
    if (trainer.group.rank, trainer.position.update) == (rank, update):
        os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("rank", "number", "code"),
    [(0, signal.SIGINT, ExitCode.INTERRUPTED), (1, signal.SIGTERM, ExitCode.TERMINATED)],
)
def test_a_signal_to_one_process_stops_all_at_the_same_update_and_they_go_on_bit_for_bit(
    rank: int, number: signal.Signals, code: ExitCode, recipe: Path, by_two: Path, tmp_path: Path
):
    interrupt = partial(send_itself, rank=rank, update=7, number=number)
    codes, messages = train_group(2, recipe, tmp_path / "run", *BASE, after_update=interrupt)
    assert codes == [code, code]
    assert steps(tmp_path / "run")[-1] == 7
    assert messages.count("stopped after update 7") == 1
    assert messages.count("stopping after this update") == (rank == 0)
    assert train_group(2, recipe, tmp_path / "run", *BASE).codes == [0, 0]
    assert_same_outcome(tmp_path / "run", by_two)


def interrupt_validation() -> None:
    def interrupted(validator: Validator, model: object) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the validation goes on")

    Validator._loss = interrupted


def test_a_signal_in_the_middle_of_a_validation_stops_all(recipe: Path, tmp_path: Path):
    codes, _ = train_group(2, recipe, tmp_path / "run", *BASE, set_up=interrupt_validation)
    assert codes == [ExitCode.TERMINATED] * 2
    assert steps(tmp_path / "run")[-1] == 4
    assert [line["kind"] for line in log_of(tmp_path / "run")] == ["train"] * 4


def test_impatience_ends_all_at_the_same_update(recipe: Path, tmp_path: Path):
    hopeless = ("training.learning_rate=1e-9", "validation.every=2", "validation.patience=2")
    assert train_group(2, recipe, tmp_path / "run", *hopeless).codes == [0, 0]
    assert log_of(tmp_path / "run")[-1]["kind"] == "test"
    assert steps(tmp_path / "run")[-1] < 9


def test_a_finished_run_is_left_as_it_is(recipe: Path, by_two: Path):
    before = (by_two / "metrics.jsonl").read_bytes()
    codes, messages = train_group(2, recipe, by_two, *BASE)
    assert codes == [0, 0]
    assert messages.count("training is finished") == 1
    assert (by_two / "metrics.jsonl").read_bytes() == before


# ------------------------------------------------------------------------------------------------------ ended together


def fail(trainer: Trainer, *, rank: int) -> None:
    if (trainer.group.rank, trainer.position.update) == (rank, 3):
        raise DataError("something is wrong")


@pytest.mark.parametrize("rank", [0, 1])
def test_the_fault_of_one_process_ends_all_and_is_told_once(rank: int, recipe: Path, tmp_path: Path):
    codes, messages = train_group(2, recipe, tmp_path / "run", *BASE, after_update=partial(fail, rank=rank))
    assert (codes[rank], codes[1 - rank]) == (ExitCode.DATA, ExitCode.MACHINE)
    assert errors(messages) == ["error: something is wrong"]


def test_a_fault_of_the_first_process_before_training_is_told_once(recipe: Path, by_two: Path):
    codes, messages = train_group(2, recipe, by_two, *BASE, "model.embedding=8")
    assert set(codes) == {ExitCode.USAGE, ExitCode.MACHINE}
    assert len(errors(messages)) == 1


def errors(messages: str) -> list[str]:
    """What the program says of errors; a traceback, but for that of `torchrun`, is none of it."""
    assert messages.count("Traceback") == messages.count("ChildFailedError(")
    return re.findall(r"^error: .*", messages, re.MULTILINE)


@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_killed_process_takes_the_others_with_it_and_the_run_goes_on_bit_for_bit(
    rank: int, recipe: Path, by_two: Path, tmp_path: Path
):
    die = partial(send_itself, rank=rank, update=8, number=signal.SIGKILL)
    codes, messages = train_group(2, recipe, tmp_path / "run", *BASE, after_update=die)
    assert (codes[rank], codes[1 - rank]) == (-signal.SIGKILL, ExitCode.MACHINE)
    assert errors(messages) == [GONE]
    assert train_group(2, recipe, tmp_path / "run", *BASE).codes == [0, 0]
    assert_same_outcome(tmp_path / "run", by_two)


def delay_the_first() -> None:
    process_group.ANSWER = timedelta(seconds=0.25)
    start = ThroughMemory.__init__

    def start_late(*arguments: object) -> None:
        time.sleep(1.0 if dist.get_rank() == 0 else 0.0)
        start(*arguments)

    ThroughMemory.__init__ = start_late


def test_a_process_that_is_late_is_waited_for(recipe: Path, tmp_path: Path):
    ended = train_group(2, recipe, tmp_path / "run", *BASE, set_up=delay_the_first, on_one_machine=True)
    assert ended.codes == [0, 0]


@pytest.mark.parametrize("absent", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_group_whose_member_never_comes_ends_in_bounded_time_with_one_sentence(
    absent: int, recipe: Path, tmp_path: Path
):
    soon = {"S2S_JOIN_TIMEOUT": "2"}
    codes, messages = train_group(3, recipe, tmp_path / "run", absent=[absent], environment=soon, prepares=True)
    assert codes == [ExitCode.MACHINE] * 2
    assert errors(messages) == [
        "error: the 3 processes of this training did not all join within 2 s"
        " (start all of them, or set S2S_JOIN_TIMEOUT to wait longer)"
    ]
    assert not (tmp_path / "run").exists()


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


def finish(torchrun: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and stderr."""
    _, messages = torchrun.communicate(timeout=PATIENCE)
    return torchrun.returncode, messages


def workers_of(torchrun: subprocess.Popen[str], run: Path, update: int) -> list[int]:
    """The processes that train, once there is a checkpoint of this update."""
    signal_at(torchrun, run, update, signal.SIGCONT)  # which does nothing
    return [int(child) for child in Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()]


def alive(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


@pytest.mark.slow
def test_torchrun_starts_the_group_again_when_a_worker_is_killed(recipe: Path, tmp_path: Path):
    assert train_group(2, recipe, tmp_path / "undisturbed", *BASE, on_one_machine=True).codes == [0, 0]
    torchrun = start_torchrun(recipe, tmp_path / "run", "--max-restarts=1")
    workers = workers_of(torchrun, tmp_path / "run", 3)
    os.kill(workers[-1], signal.SIGKILL)
    code, messages = finish(torchrun)
    assert code == 0, messages
    assert not any(map(alive, workers))
    assert "resuming at update" in messages
    runs = (tmp_path / "run", tmp_path / "undisturbed")
    ours, theirs = (CheckpointManager(run / "checkpoints", keep=1).load(10) for run in runs)
    assert all(tensor.equal(theirs.weights[name]) for name, tensor in ours.weights.items())


@pytest.mark.slow
def test_torchrun_ends_when_a_worker_is_killed(recipe: Path, tmp_path: Path):
    torchrun = start_torchrun(recipe, tmp_path / "run")
    workers = workers_of(torchrun, tmp_path / "run", 3)
    os.kill(workers[0], signal.SIGKILL)
    code, messages = finish(torchrun)
    assert code == 1
    assert not any(map(alive, workers))
    assert errors(messages) == [GONE]


@pytest.mark.slow
def test_torchrun_passes_a_signal_on_and_all_is_saved(recipe: Path, tmp_path: Path):
    torchrun = start_torchrun(recipe, tmp_path / "run")
    workers = workers_of(torchrun, tmp_path / "run", 3)
    torchrun.send_signal(signal.SIGTERM)
    code, messages = finish(torchrun)
    assert code != 0
    assert not any(map(alive, workers))
    stopped = re.findall(r"^stopped after update (\d+),", messages, re.MULTILINE)
    assert stopped == [str(steps(tmp_path / "run")[-1])]
    assert "error: " not in messages
