from __future__ import annotations

import os
import shutil
import signal
import socket
import time

import pytest

from s2s_cli import atomic
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.errors import MachineError, UsageError, UserError


def hold_in_child(run: RunDirectory, tools) -> int:
    """A process that holds the lock until it is killed."""
    reading, writing = os.pipe()

    def hold() -> None:
        with run.lock():
            os.write(writing, b"x")
            time.sleep(600)

    child = tools.start_child(hold)
    os.close(writing)
    assert os.read(reading, 1) == b"x"
    os.close(reading)
    return child


def kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_the_paths_lie_below_the_root(tmp_path):
    run = RunDirectory(tmp_path / "run")
    paths = [run.recipe, run.data, run.checkpoints, run.metrics, run.model]
    assert [path.name for path in paths] == ["recipe.yaml", "data", "checkpoints", "metrics.jsonl", "model"]
    assert all(path.parent == run.root for path in paths)
    assert not run.root.exists()


def test_a_second_trainer_fails_soon_and_learns_who_was_first(tmp_path, tools, monkeypatch):
    run = RunDirectory(tmp_path / "run")
    child = hold_in_child(run, tools)
    monkeypatch.setattr(atomic, "RETRY_TIME", 0.1)
    with pytest.raises(UsageError) as caught, run.lock():
        pytest.fail("two processes hold the lock")
    assert f"is in use by process {child} on {socket.gethostname()} since 2" in str(caught.value)
    assert "\n" not in str(caught.value)
    kill(child)
    with run.lock():  # the lock died with its process
        pass


def test_the_same_process_cannot_hold_it_twice_but_again(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path)
    monkeypatch.setattr(atomic, "RETRY_TIME", 0.1)
    with run.lock(), pytest.raises(UsageError), run.lock():
        pytest.fail("held twice")
    for _ in range(2):
        with run.lock():
            pass


def test_a_folder_that_was_removed_or_replaced_is_left_alone(tmp_path):
    run = RunDirectory(tmp_path / "run")
    run.require_lock()  # whoever holds none has nothing to lose
    with run.lock():
        run.require_lock()
        (run.root / "lock").unlink()  # which takes nothing away
        run.require_lock()
        shutil.rmtree(run.root)
        with pytest.raises(MachineError, match="run: was removed or replaced"):
            run.require_lock()
        run.root.mkdir()
        (run.root / "lock").write_text("process 1 on another since 2026-01-01\n")
        with pytest.raises(MachineError, match="run: was removed or replaced"):
            run.require_lock()


def test_the_lock_is_released_when_the_block_fails(tmp_path):
    run = RunDirectory(tmp_path)
    with pytest.raises(RuntimeError), run.lock():
        raise RuntimeError
    with run.lock():
        pass


def test_orphaned_workers_do_not_keep_the_lock(tmp_path, tools):
    """A forked worker that outlives its killed parent must not lock the run for ever."""
    run = RunDirectory(tmp_path)
    reading, writing = os.pipe()

    def train() -> None:
        with run.lock():
            worker = tools.start_child(lambda: time.sleep(600))
            os.write(writing, worker.to_bytes(8, "little"))
            time.sleep(600)

    trainer = tools.start_child(train)
    worker = int.from_bytes(os.read(reading, 8), "little")
    kill(trainer)
    with run.lock():
        holder = (run.root / "lock").read_text()
        os.kill(worker, 0)  # still there
    assert holder.startswith(f"process {os.getpid()} ")
    os.kill(worker, signal.SIGKILL)
    os.close(reading), os.close(writing)


def test_a_child_that_leaves_the_block_does_not_release_the_lock(tmp_path, tools, monkeypatch):
    run = RunDirectory(tmp_path)
    monkeypatch.setattr(atomic, "RETRY_TIME", 0.1)
    with run.lock():
        lock = run.lock()

        def leave() -> str:
            with pytest.raises(UsageError), lock:
                pass
            return "locked out"

        assert tools.in_child(leave) == (0, "locked out")
        with pytest.raises(UsageError), run.lock():
            pytest.fail("a child released the lock")


def test_a_root_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MachineError, match="cannot be written"), RunDirectory(tmp_path / "file" / "run").lock():
        pass


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (["data/train.fr"], r"data: holds other files than prepared data \(train.fr\)"),
        (["data/dev/mine", "data/manifest.json"], r"data: holds other files than prepared data \(dev/mine\)"),
        (["model/.DS_Store", "model/.gitattributes"], r"model: holds other files than a model \(.gitattributes\)"),
        (["model/mine.txt"], r"model: holds other files than a model \(mine.txt\)"),
        (["model/config.json", "model/pytorch_model.bin"], r"model: holds other files than a model \(config.json\)"),
        (["data"], "data: is no folder, and is not replaced by one"),
        (["metrics.jsonl"], "metrics.jsonl: would be replaced by the figures of the run"),
        (["lock", "notes.txt"], "lock: is no lock of a run, and is not replaced"),
        (["recipe.yaml"], "recipe.yaml: would be replaced by the recipe of the run"),
        (["config.json", "manifest.json"], "is a model, and no run"),
    ],
)
def test_what_is_none_of_a_run_is_not_replaced(tmp_path, files: list[str], what: str):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    for _ in range(2):
        with pytest.raises(UserError, match=what), RunDirectory(tmp_path).lock():
            pass
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == files
    for name in files:
        (tmp_path / name).unlink()
    with RunDirectory(tmp_path).lock():  # empty folders are no files
        pass


def test_a_file_is_no_run(tmp_path):
    (tmp_path / "run").touch()
    with (
        pytest.raises(UsageError, match="run: is no folder, and a run is one"),
        RunDirectory(tmp_path / "run").lock(),
    ):
        pass
