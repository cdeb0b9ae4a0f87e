from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from s2s_cli import atomic
from s2s_cli.errors import MachineError

NAMES = ("one", "inner/two")


def write_directory(target: Path, text: str) -> None:
    with atomic.new_directory(target) as directory:
        (directory / "inner").mkdir()
        for name in NAMES:
            atomic.write_file(directory / name, [text.encode(), name.encode()])


def read_directory(target: Path) -> str | None:
    """The text of a directory that is whole; None if there is none. A half one fails."""
    if not target.exists():
        return None
    one, two = ((target / name).read_text().removesuffix(name) for name in NAMES)
    assert one == two and len(list(target.rglob("*"))) == 3
    return one


def test_a_directory_appears_whole_and_is_replaced_whole(tmp_path, replacing, tools):
    target = tmp_path / "new" / "parents" / "target"
    for text in ("first", "second"):
        write_directory(target, text)
        assert read_directory(target) == text
    assert tools.leftovers(target.parent) == []


def test_every_fault_leaves_the_old_directory_and_no_temporary(tmp_path, replacing, faults, tools):
    target = tmp_path / "target"
    write_directory(target, "old")
    with faults.at(None):
        write_directory(target, "old")
    committed = max(i for i, call in enumerate(faults.calls) if call in ("rename", "exchange"))
    assert faults.calls[:committed].count("fsync") == 4  # both files and both directories
    for index in range(len(faults.calls)):
        with faults.at(index), pytest.raises(MachineError, match="cannot be written") as caught:
            write_directory(target, "new")
        assert "\n" not in str(caught.value) and str(target) in str(caught.value)
        assert read_directory(target) == ("old" if index <= committed else "new")
        assert tools.leftovers(tmp_path) == []
        write_directory(target, "old")


def test_death_at_every_call_leaves_a_whole_directory(tmp_path, replacing, faults, tools):
    target = tmp_path / "target"
    write_directory(target, "old")
    with faults.at(None):
        write_directory(target, "old")
    for index in range(len(faults.calls)):

        def die() -> str:
            with faults.at(index, lambda: os._exit(77)):  # noqa: B023
                write_directory(target, "new")
            return "survived"

        assert tools.in_child(die) == (77, "")
        assert replacing == "two renames" or target.exists()
        atomic.sweep(tmp_path)
        assert read_directory(target) in ("old", "new")
        assert tools.leftovers(tmp_path) == []


def test_everything_is_flushed_before_the_name_is_given(tmp_path, monkeypatch):
    events = []
    fsync, rename = os.fsync, os.rename

    def traced_fsync(descriptor: int) -> None:
        events.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def traced_rename(source, target) -> None:
        events.append(("rename", str(source), str(target)))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "rename", traced_rename)
    write_directory(tmp_path / "target", "text")
    [(_, temporary, target)] = [event for event in events if isinstance(event, tuple)]
    assert target == str(tmp_path / "target")
    inner = f"{temporary}/inner"
    flushed = [f"{inner}/two", inner, f"{temporary}/one", temporary]
    assert events == [*flushed, ("rename", temporary, target), str(tmp_path)]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    data = bytes(range(256)) * 3
    written = atomic.write_file(tmp_path / "file", [data[:100], memoryview(data)[100:], b""])
    assert (tmp_path / "file").read_bytes() == data
    assert written.size == len(data)


def test_what_the_disk_takes_a_part_of_is_an_error(tmp_path, tools):
    """Nothing is written after it, which would find the disk full."""

    def write() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(MachineError, match="cannot be written"), atomic.new_file(tmp_path / "file") as file:
            assert file.write(b"a" * 1500) == 1500
        return "told"

    assert tools.in_child(write) == (0, "told")
    assert os.listdir(tmp_path) == []


def test_every_fault_leaves_the_old_file(tmp_path, faults, tools):
    target = tmp_path / "pointer.json"
    atomic.replace_file(target, b"old")
    with faults.at(None):
        atomic.replace_file(target, b"old")
    assert faults.calls == ["write", "fsync", "replace", "fsync"]
    for index in range(len(faults.calls)):
        with faults.at(index), pytest.raises(MachineError):
            atomic.replace_file(target, b"new")
        assert target.read_bytes() == (b"old" if index <= 2 else b"new")
        assert tools.leftovers(tmp_path) == []


def test_a_new_file_appears_at_the_end_of_its_block(tmp_path, tools):
    target = tmp_path / "new" / "file"
    with atomic.new_file(target) as file:
        file.write(b"old")
        assert not target.exists()
    assert target.read_bytes() == b"old"
    with pytest.raises(KeyError), atomic.new_file(target) as file:
        file.write(b"new")
        raise KeyError
    assert target.read_bytes() == b"old"
    target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    with atomic.new_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o640)
    assert tools.leftovers(target.parent) == []


def test_what_is_no_regular_file_is_written_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic.new_file(pipe) as file:
        file.write(b"data")
    assert os.read(reading, 9) == b"data"
    os.close(reading)
    assert pipe.is_fifo()
    with pytest.raises(MachineError, match="cannot be written: Is a directory"), atomic.new_file(tmp_path):
        pass


@pytest.mark.parametrize("name", ["file/new", "file/folder/new"])
def test_a_file_that_stands_for_a_folder_is_named(tmp_path, name):
    (tmp_path / "file").touch()
    for write in (atomic.new_file, atomic.new_directory):
        with pytest.raises(MachineError) as error, write(tmp_path / name):
            pass
        assert str(error.value) == f"{tmp_path / name}: cannot be written: {tmp_path / 'file'} is no folder"


def test_a_sweep_spares_living_writers_and_foreign_files(tmp_path, tools, monkeypatch):
    monkeypatch.setattr(atomic, "RETRY_TIME", 0.1)
    foreign = [".hidden", ".a.tmp", "x.0123456789abcdef.tmp"]
    for name in foreign:
        (tmp_path / name).touch()
    with atomic.new_directory(tmp_path / "target") as living:
        (living / "file").touch()
        assert tools.in_child(lambda: str(atomic.sweep(tmp_path))) == (0, "None")
        assert (living / "file").exists()
    assert (tmp_path / "target" / "file").exists()
    assert sorted(os.listdir(tmp_path)) == sorted([*foreign, "target"])


def test_what_a_killed_writer_left_is_swept_although_its_worker_lives_on(tmp_path, tools):
    reading, writing = os.pipe()

    def write() -> None:
        with atomic.new_directory(tmp_path / "target") as directory:
            (directory / "file").touch()
            worker = tools.start_child(lambda: time.sleep(600))
            os.write(writing, worker.to_bytes(8, "little"))
            time.sleep(600)

    writer = tools.start_child(write)
    worker = int.from_bytes(os.read(reading, 8), "little")
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    assert len(tools.leftovers(tmp_path)) == 1
    atomic.sweep(tmp_path)
    os.kill(worker, signal.SIGKILL)  # it was still there
    assert os.listdir(tmp_path) == []
    os.close(reading), os.close(writing)


def test_what_a_killed_writer_left_is_swept_although_its_worker_has_not_run_yet(tmp_path, tools, monkeypatch):
    """Such a worker still has the lock: here for a moment, because nothing closes its copy of the descriptor."""
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: None)

    def write() -> None:
        with atomic.new_directory(tmp_path / "target"):
            tools.start_child(lambda: time.sleep(0.3))
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(tools.start_child(write), 0)
    assert len(tools.leftovers(tmp_path)) == 1
    atomic.sweep(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_write_leaves_nothing_to_the_forks_after_it(tmp_path, monkeypatch):
    """What is registered stays for as long as the process lives, and each fork runs all of it."""
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: pytest.fail("registered anew"))
    atomic.replace_file(tmp_path / "file", b"content")
    write_directory(tmp_path / "directory", "text")
    assert not atomic._held


def test_an_interrupt_removes_the_temporary(tmp_path, tools):
    with pytest.raises(KeyboardInterrupt), atomic.new_directory(tmp_path / "target") as directory:
        (directory / "file").touch()
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_link_to_a_directory_keeps_being_one(tmp_path):
    write_directory(tmp_path / "real", "old")
    (tmp_path / "link").symlink_to("real")
    write_directory(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert read_directory(tmp_path / "real") == "new"


@pytest.mark.parametrize("name", ["n" * 255, "名" * 85, "é" * 115 + ".t", "short"])
def test_any_name_that_the_file_system_takes_can_be_written_and_swept(tmp_path, name):
    atomic.replace_file(tmp_path / name, b"text")
    assert (tmp_path / name).read_bytes() == b"text" and os.listdir(tmp_path) == [name]
    left = atomic._temporary_name(tmp_path / name)
    left.touch()
    atomic.sweep(tmp_path, of=["another"])
    assert left.exists()
    atomic.sweep(tmp_path, of=[name])
    assert os.listdir(tmp_path) == [name]
