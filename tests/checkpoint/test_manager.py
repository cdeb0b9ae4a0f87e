from __future__ import annotations

import errno
import json
import os
import random
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.errors import CheckpointError, MachineError
from s2s_cli.sealed import MANIFEST


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "checkpoints"


@pytest.fixture
def three(folder, tools) -> CheckpointManager:
    """Checkpoints of the steps 1, 2 and 3, of which 1 is the best."""
    manager = CheckpointManager(folder, keep=2)
    for step, score in ((1, 9.0), (2, 5.0), (3, 7.0)):
        manager.save(tools.make_snapshot(step, score), best=step == 1)
    return manager


def flip_bit(path: Path, position: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


# ------------------------------------------------------------------------------------------------ saving and keeping


def test_a_folder_without_checkpoints_has_none(folder):
    manager = CheckpointManager(folder, keep=3)
    assert (manager.load_latest(), manager.steps(), manager.ranked()) == (None, [], [])
    assert not folder.exists()


def test_what_was_saved_is_loaded(folder, tools):
    manager = CheckpointManager(folder, keep=1)
    for step in (10, 20):
        path = manager.save(tools.make_snapshot(step), best=False)
        assert path == folder / f"step-{step}" and path.is_dir()
        tools.assert_same(manager.load_latest(), tools.make_snapshot(step))
        tools.assert_same(manager.load(step), tools.make_snapshot(step))
        assert manager.weights(step).keys() == {"table", "tied", "bias"}


def test_the_best_is_kept_outside_the_window(three, folder, tools):
    assert three.steps() == [1, 2, 3] and three.ranked()[0] == 1
    three.save(tools.make_snapshot(4, 8.0), best=False)
    assert three.steps() == [1, 3, 4] and three.ranked()[0] == 1
    three.save(tools.make_snapshot(5, 10.0), best=True)
    assert three.steps() == [4, 5] and three.ranked()[0] == 5
    pointers = {name: json.loads((folder / name).read_text())["directory"] for name in ("latest.json", "best.json")}
    assert pointers == {"latest.json": "step-5", "best.json": "step-5"}
    assert sorted(os.listdir(folder)) == ["best.json", "latest.json", "step-4", "step-5"]


@settings(max_examples=12)
@given(
    scores=st.lists(st.none() | st.integers(0, 5).map(float), min_size=1, max_size=8),
    keep=st.integers(1, 3),
    keep_best=st.integers(1, 3),
)
def test_the_newest_and_the_best_are_on_disk_and_nothing_else(tmp_path_factory, tools, scores, keep, keep_best):
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    manager = CheckpointManager(folder, keep, keep_best)
    highest = -1.0
    for step, score in enumerate(scores):
        best = score is not None and score > highest
        highest = max(highest, score or 0.0) if best else highest
        manager.save(tools.make_snapshot(step, score, width=1), best=best)
        assert len(manager.steps()) <= keep + keep_best
    seen = {step: score for step, score in enumerate(scores) if score is not None}
    ranked = sorted(seen, key=lambda step: (seen[step], step == scores.index(seen[step])), reverse=True)
    newest = set(range(len(scores)))
    assert set(manager.steps()) >= set(sorted(newest)[-keep:])
    if seen:
        assert manager.ranked()[0] == scores.index(highest)
        found = manager.ranked()[:keep_best]
        assert [seen[step] for step in found] == [seen[step] for step in ranked[:keep_best]]
    assert sorted(manager.ranked()) == [step for step in manager.steps() if step in seen]
    shutil.rmtree(folder)


def test_saving_a_step_again_replaces_it(folder, replacing, tools):
    manager = CheckpointManager(folder, keep=1)
    for score in (1.0, 2.0):
        manager.save(tools.make_snapshot(7, score), best=True)
        tools.assert_same(manager.load_latest(), tools.make_snapshot(7, score))
    assert tools.leftovers(folder) == []


def test_a_checkpoint_that_was_just_saved_outlives_damaged_ones_of_later_steps(folder, tools, capsys):
    manager = CheckpointManager(folder, keep=1)
    manager.save(tools.make_snapshot(5), best=True)
    manager.save(tools.make_snapshot(9), best=False)
    flip_bit(folder / "step-9" / "weights.safetensors")
    assert manager.load_latest().step == 5
    manager.save(tools.make_snapshot(7), best=False)
    capsys.readouterr()
    assert manager.load_latest().step == 7 and manager.steps() == [5, 7]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("arguments", [(0, 1), (1, 0)])
def test_nothing_to_keep_is_refused(folder, arguments):
    with pytest.raises(ValueError, match="at least one"):
        CheckpointManager(folder, *arguments)


def test_extras_cannot_leave_their_directory(folder, tools):
    snapshot = tools.make_snapshot(1)
    snapshot.extra["../escape"] = {}
    with pytest.raises(ValueError, match="escape"):
        CheckpointManager(folder, keep=1).save(snapshot, best=False)
    assert os.listdir(folder) == []


# ------------------------------------------------------------------------------------------------------------- damage


def test_one_flipped_bit_in_any_file_is_named_and_the_one_before_loads(three, folder, tools, capsys):
    files = sorted(os.listdir(folder / "step-3"))
    assert len(files) == 6
    for name in files:
        path = folder / "step-3" / name
        original = path.read_bytes()
        for position in random.Random(name).sample(range(len(original)), 8):
            flip_bit(path, position)
            tools.assert_same(three.load_latest(), tools.make_snapshot(2, 5.0))
            [warning] = capsys.readouterr().err.splitlines()
            # A bit of the manifest may fault the file that it speaks of.
            assert "skipped a checkpoint" in warning and (name == MANIFEST or str(path) in warning)
            path.write_bytes(original)
    tools.assert_same(three.load_latest(), tools.make_snapshot(3, 7.0))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_cut_short_is_named_and_the_one_before_loads(three, folder, tools, capsys, share):
    for path in sorted((folder / "step-3").iterdir()):
        original = path.read_bytes()
        os.truncate(path, int(len(original) * share))
        tools.assert_same(three.load_latest(), tools.make_snapshot(2, 5.0))
        assert str(path) in capsys.readouterr().err
        path.unlink()
        tools.assert_same(three.load_latest(), tools.make_snapshot(2, 5.0))
        assert path.name in capsys.readouterr().err
        path.write_bytes(original)


def test_when_all_are_bad_training_does_not_begin_anew(three, folder, capsys):
    for step in three.steps():
        flip_bit(folder / f"step-{step}" / "optimizer.safetensors")
    with pytest.raises(CheckpointError, match="none of the 3 checkpoints can be used") as caught:
        three.load_latest()
    assert "train from the start" in str(caught.value)
    warnings = capsys.readouterr().err.splitlines()
    assert [f"step-{step}" in line for step, line in zip((3, 2, 1), warnings, strict=True)] == [True] * 3


def test_one_that_cannot_be_read_now_is_not_passed_over(three, folder, tools, monkeypatch):
    name, open_file = "optimizer.safetensors", os.open

    def refusing(path, *arguments, **options):
        if Path(path) == folder / "step-3" / name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return open_file(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refusing)
        for reads in (three.load_latest, three.ranked):
            with pytest.raises(MachineError, match=rf"step-3/{name}: cannot be read: Permission denied"):
                reads()
    tools.assert_same(three.load_latest(), tools.make_snapshot(3, 7.0))


def test_when_all_are_gone_training_does_not_begin_anew(three, folder, capsys):
    shutil.rmtree(folder / "step-3")
    assert three.load_latest().step == 2
    assert "step-3: the latest checkpoint is missing" in capsys.readouterr().err
    for step in three.steps():
        shutil.rmtree(folder / f"step-{step}")
    with pytest.raises(CheckpointError, match="all checkpoints are missing"):
        three.load_latest()


def test_damaged_pointers_lose_nothing(three, folder, tools):
    for name in ("latest.json", "best.json"):
        (folder / name).write_text("{")
    assert three.ranked()[0] == 1
    tools.assert_same(three.load_latest(), tools.make_snapshot(3, 7.0))


def test_a_checkpoint_of_another_step_is_not_taken_for_this_one(three, folder):
    (folder / "step-3").rename(folder / "step-30")
    with pytest.raises(CheckpointError, match="step-30: holds step 3"):
        three.load(30)


def test_a_checkpoint_that_does_not_exist_is_one_sentence(three):
    with pytest.raises(CheckpointError, match="step-99: cannot be read"):
        three.load(99)


# ----------------------------------------------------------------------------------------- faults, death, full disks


def test_a_fault_at_every_call_of_a_save_leaves_the_previous_checkpoint(three, folder, tools, faults, tmp_path):
    shutil.copytree(folder, tmp_path / "original")
    with faults.at(None):
        three.save(tools.make_snapshot(4, 10.0), best=True)
    calls = faults.calls
    committed = calls.index("rename")
    assert len(calls) > 20 and {"write", "fsync", "rename", "replace"} <= set(calls)
    for index in range(len(calls)):
        shutil.rmtree(folder)
        shutil.copytree(tmp_path / "original", folder)
        with faults.at(index), pytest.raises(MachineError, match="Input/output error"):
            three.save(tools.make_snapshot(4, 10.0), best=True)
        expected = tools.make_snapshot(3, 7.0) if index <= committed else tools.make_snapshot(4, 10.0)
        tools.assert_same(three.load_latest(), expected)
        assert three.ranked()[0] == (1 if index <= committed else 4)
        assert tools.leftovers(folder) == []


def test_a_second_interrupt_at_every_call_of_a_save_leaves_the_previous_checkpoint(folder, tools, faults):
    manager = CheckpointManager(folder, keep=1)
    manager.save(tools.make_snapshot(1), best=False)

    def interrupt() -> None:
        raise KeyboardInterrupt

    for index in range(20):
        with faults.at(index, interrupt), pytest.raises(KeyboardInterrupt):
            manager.save(tools.make_snapshot(2), best=False)
        found = manager.load_latest()
        tools.assert_same(found, tools.make_snapshot(found.step))
        assert tools.leftovers(folder) == []


def test_death_at_every_call_of_a_save_leaves_a_whole_checkpoint(folder, replacing, tools, faults):
    manager = CheckpointManager(folder, keep=1)
    manager.save(tools.make_snapshot(1), best=True)
    with faults.at(None):
        manager.save(tools.make_snapshot(1), best=True)
    for index in range(len(faults.calls)):

        def die() -> str:
            with faults.at(index, lambda: os._exit(77)):  # noqa: B023
                manager.save(tools.make_snapshot(1), best=True)  # the same step: the hardest case
            return "survived"

        assert tools.in_child(die) == (77, "")
        tools.assert_same(manager.load_latest(), tools.make_snapshot(1))
        assert tools.leftovers(folder) == []


def test_a_full_disk_removes_the_temporary_and_keeps_the_old(folder, tools):
    manager = CheckpointManager(folder, keep=1)
    manager.save(tools.make_snapshot(1), best=True)

    def save_with_little_space() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        with pytest.raises(MachineError) as caught:
            manager.save(tools.make_snapshot(2, width=100_000), best=True)
        return str(caught.value)

    status, message = tools.in_child(save_with_little_space)
    assert status == 0, message
    assert "\n" not in message and "step-2: cannot be written: File too large (free some space" in message
    assert tools.leftovers(folder) == [] and manager.steps() == [1]
    tools.assert_same(manager.load_latest(), tools.make_snapshot(1))


def kill_savers(folder: Path, tools, kills: int) -> None:
    """Save without pause in a child, kill it in the middle of some save, load, go on from there."""
    chance = random.Random(kills)
    manager = CheckpointManager(folder, keep=2)
    reached = 0
    for _ in range(kills):
        finished = chance.randrange(3)
        kill_saver(manager, tools, reached, finished, chance.random())
        snapshot = manager.load_latest()
        if snapshot is None:
            assert reached + finished == 0
            continue
        assert snapshot.step >= reached + finished
        assert tools.leftovers(folder) == []
        reached = snapshot.step
        tools.assert_same(snapshot, tools.make_snapshot(reached, float(reached % 7), width=2000))
        for step in manager.steps():
            manager.load(step)


def kill_saver(manager: CheckpointManager, tools, reached: int, finished: int, share: float) -> None:
    """Kill a saver that finished so many saves, after about this share of the time that the next one takes."""
    reading, writing = os.pipe()

    def save_for_ever() -> None:
        step = reached
        while True:
            os.write(writing, b"x")
            step += 1
            manager.save(tools.make_snapshot(step, float(step % 7), width=2000), best=step % 7 == 6)

    child = tools.start_child(save_for_ever)
    start = time.monotonic()
    for _ in range(finished + 1):
        os.read(reading, 1)
    time.sleep(share * (time.monotonic() - start) / (finished or 1))
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    os.close(reading)
    os.close(writing)


def test_a_saver_killed_at_random_moments_leaves_only_whole_checkpoints(folder, tools, capsys):
    kill_savers(folder, tools, kills=10)
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_a_saver_killed_a_thousand_times_leaves_only_whole_checkpoints(folder, tools, capsys):
    kill_savers(folder, tools, kills=1000)
    assert capsys.readouterr().err == ""
