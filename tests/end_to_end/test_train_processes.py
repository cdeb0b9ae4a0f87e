"""`s2s train` as a process that is stopped, killed and started again: it ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import pytest
from digits import (
    NOISE,
    ROOT,
    assert_same_outcome,
    finish,
    log_of,
    signal_at,
    start_training,
    steps,
    train_here,
    write_task,
)
from starts import Started

from s2s_cli import atomic
from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.errors import ExitCode, MachineError
from s2s_cli.training import exporting
from s2s_cli.training.interruption import StopRequest
from s2s_cli.training.reporting import MetricsLog

KILLS = int(os.environ.get("S2S_KILLS", "100"))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"), pairs=200)


@pytest.fixture(scope="module")
def whole(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    run = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPROFILEIMPORTTIME", "1")
        code, messages = finish(start_training(recipe, run, fresh=True))
    assert code == ExitCode.DONE, messages
    assert "torch._C" in messages and "torch._dynamo" not in messages  # the compiler of torch takes long to import
    assert f"the model is in {run / 'model'}" in messages
    assert "held-out: BLEU" in messages
    return run


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run", copy_function=shutil.copy2))


def test_started_again_it_says_that_it_is_finished_and_changes_nothing(recipe: Path, copy: Path):
    def state() -> dict[str, tuple[int, bytes]]:
        files = [path for path in copy.rglob("*") if path.is_file() and not path.name.endswith("lock")]
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files if path.name != "recipe.yaml"}

    before = state()
    code, messages = finish(start_training(recipe, copy))
    assert code == ExitCode.DONE
    assert "training is finished" in messages
    assert state() == before


def test_a_finished_run_scores_a_test_set_that_is_added(recipe: Path, copy: Path, capsys: pytest.CaptureFixture[str]):
    train_here(recipe, copy, "data.test=[{tsv: test.tsv, name: held-out}, {tsv: dev.tsv, name: later}]")
    assert "later: BLEU" in capsys.readouterr().err
    assert MetricsLog(copy / "metrics.jsonl").tests().keys() == {"held-out", "later"}
    assert "later" in (copy / "model" / "README.md").read_text(encoding="utf-8")


def test_a_finished_run_scores_a_test_set_again_whose_text_is_another(
    recipe: Path, copy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def fail(*arguments: object) -> None:
        raise MachineError("the disk is full")

    with monkeypatch.context() as patch, pytest.raises(MachineError):
        patch.setattr(exporting, "save_model", fail)
        train_here(recipe, copy, "data.test=[{tsv: dev.tsv, name: held-out}]")
    capsys.readouterr()
    train_here(recipe, copy, "data.test=[{tsv: dev.tsv, name: held-out}]")
    assert "held-out: BLEU" in capsys.readouterr().err
    lines = log_of(copy)
    assert [line["kind"] for line in lines].count("test") == 1
    path = copy / "metrics.jsonl"
    path.write_text(re.sub(', "data": "[0-9a-f]*"', "", path.read_text(encoding="utf-8")), encoding="utf-8")
    train_here(recipe, copy, "data.test=[{tsv: dev.tsv, name: held-out}]")
    assert "held-out: BLEU" not in capsys.readouterr().err  # the log of an older version


def test_the_recipe_that_a_run_keeps_can_be_run_where_it_lies_also_after_a_move(whole: Path, tmp_path: Path):
    """The working directory with recipe, corpora and run is moved as a whole, and the command is given elsewhere."""
    before = tmp_path / "before"
    recipe = write_task(before / "recipes", pairs=200)
    shutil.copytree(whole, before / "runs" / "r", copy_function=shutil.copy2)
    settle = ["train", "recipes/recipe.yaml", "--run", "runs/r"]

    def run(*command: str, cwd: Path) -> str:
        code, messages = finish(Started(*command, cwd=cwd))
        assert code == ExitCode.DONE, messages
        return messages

    assert recipe.is_file() and "training is finished" in run(*settle, cwd=before)
    before.rename(tmp_path / "after")
    kept, elsewhere = tmp_path / "after" / "runs" / "r" / "recipe.yaml", tmp_path / "elsewhere"
    elsewhere.mkdir()
    for command in (["train"], ["prep"], ["train", "--set", "decoding.beam=2"], ["prep", "--set", "seed=5"]):
        messages = run(command[0], str(kept), *command[1:], cwd=elsewhere)
        assert "data is up to date" in messages and "anew" not in messages
        assert command[0] == "prep" or "training is finished" in messages
        assert "changed recipe" not in messages
    messages = run(*settle, cwd=tmp_path / "after")
    assert "changed recipe" not in messages and "training is finished" in messages
    assert list(elsewhere.iterdir()) == []


def test_sigterm_and_sigint_save_and_the_same_command_goes_on(
    recipe: Path, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    run, last = tmp_path / "run", 0
    for number, update, expected in ((signal.SIGTERM, 21, 143), (signal.SIGINT, 56, 130)):
        process = start_training(recipe, run, fresh=number == signal.SIGTERM)
        signal_at(process, run, update, number)
        code, messages = finish(process)
        assert code == expected, messages
        assert "Traceback" not in messages
        assert "the same command resumes from there" in messages
        stopped = int(re.search(r"stopped after update (\d+)", messages)[1])
        assert steps(run)[-1] == stopped > last
        last = stopped
    train_here(recipe, run)
    assert f"resuming at update {last}," in capfd.readouterr().err
    assert_same_outcome(run, whole)


@pytest.mark.parametrize("noise", [(), NOISE], ids=["plain", "noise"])
def test_killed_three_times_it_ends_as_if_nothing_had_happened(
    noise: tuple[str, ...], recipe: Path, whole: Path, tmp_path: Path
):
    run, moments = tmp_path / "run", random.Random(5)
    if noise:
        whole = tmp_path / "whole"
        train_here(recipe, whole, *noise)
    for update in (moments.randint(0, 20), moments.randint(21, 42), moments.randint(43, 63)):
        process = start_training(recipe, run, *noise)
        signal_at(process, run, update, signal.SIGKILL, delay=moments.uniform(0, 0.1))
        assert finish(process)[0] == -signal.SIGKILL
        assert CheckpointManager(run / "checkpoints", keep=1).load_latest() is not None
    train_here(recipe, run, *noise)
    assert_same_outcome(run, whole)


@pytest.mark.slow
def test_killed_at_random_moments_many_times_a_checkpoint_always_loads(
    recipe: Path, whole: Path, tmp_path: Path, tools
):
    """S2S_KILLS says how often. The processes are forked: starting Python would take most of the time."""
    moments, kills, number = random.Random(5), 0, 0
    while kills < KILLS:
        run, number, code, patience = tmp_path / f"run-{number}", number + 1, -signal.SIGKILL, 0.2
        while code == -signal.SIGKILL:
            child = tools.start_child(lambda run=run: train_here(recipe, run))
            time.sleep(moments.uniform(0, patience))
            os.kill(child, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            kills += code == -signal.SIGKILL
            patience *= 1.05  # so that even a busy machine gets to the end
            began = (run / "checkpoints" / "latest.json").exists()
            assert (CheckpointManager(run / "checkpoints", keep=1).load_latest() is not None) or not began
        assert code == 0
        assert_same_outcome(run, whole)
        shutil.rmtree(run)


def test_a_second_signal_while_saving_leaves_at_once_and_the_old_checkpoint_is_whole(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tools
):
    run, flush, receive = tmp_path / "run", atomic._flush, StopRequest.receive

    def slow_flush(path: Path) -> None:
        if path.parent.name.startswith(".step-14.") and path.name == "manifest.json":
            (tmp_path / "saving").touch()
            time.sleep(600)
        flush(path)

    def receive_and_note(request: StopRequest, *signal: object) -> None:
        receive(request, *signal)
        (tmp_path / "received").touch()

    monkeypatch.setattr(atomic, "_flush", slow_flush)
    monkeypatch.setattr(StopRequest, "receive", receive_and_note)
    child = tools.start_child(lambda: train_here(recipe, run))
    for sign in ("saving", "received"):  # two signals that wait together are one
        while not (tmp_path / sign).exists():
            time.sleep(0.01)
        os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == ExitCode.INTERRUPTED
    assert steps(run) == [7]
    snapshot = CheckpointManager(run / "checkpoints", keep=1).load_latest()
    assert snapshot is not None
    assert snapshot.step == 7


@pytest.mark.parametrize(
    "text",
    [
        "name: !!python/object/apply:os.system ['touch executed']",
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{f'*{a}, ' * 9}]\n" for a, b in ["ab", "bc", "cd"]),
        "a: " + "[" * 5_000 + "]" * 5_000,
        "a: " + "{a: " * 5_000 + "}" * 5_000,
    ],
    ids=["tag", "aliases", "lists", "mappings"],
)
def test_a_hostile_recipe_costs_little_and_does_nothing(text: str, tmp_path: Path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(text, encoding="utf-8")
    bound = partial(resource.setrlimit, resource.RLIMIT_CPU, (30, 30))  # seconds of a processor
    process = start_training(recipe, tmp_path / "run", before=bound)
    code, messages = finish(process)
    assert code == ExitCode.USAGE
    assert re.fullmatch(rf"error: {recipe}:1: [^\n]{{,300}}\n", messages)
    assert sorted(os.listdir(tmp_path)) == ["recipe.yaml"]
    assert not (ROOT / "executed").exists()


def test_a_second_trainer_fails_at_once_and_names_the_first(recipe: Path, copy: Path):
    before = (copy / "recipe.yaml").read_bytes()
    with RunDirectory(copy).lock():
        code, messages = finish(start_training(recipe, copy, "training.epochs=9"))
    assert code == ExitCode.USAGE
    assert f"process {os.getpid()}" in messages
    assert (copy / "recipe.yaml").read_bytes() == before
