"""Translation by Ray: the same bytes as the plain command, whatever the workers, and whatever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from models import task_of, translator

from s2s_cli.bulk import files
from s2s_cli.bulk.cutting import Part
from s2s_cli.bulk.files import LEAST_BYTES, MOST_BYTES, parts_of
from s2s_cli.errors import UsageError
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

ROOT = Path(__file__).parents[2]
TEXT = "".join(f"line {number} of the text, which is rather long\n" for number in range(4000)) + "no end"


def test_parts_are_neither_small_nor_large():
    assert parts_of(0) == parts_of(LEAST_BYTES) == 1
    assert parts_of(10 << 20) == 64
    assert parts_of(1 << 40) == (1 << 40) // MOST_BYTES


def test_without_ray_one_sentence_says_how_to_install_it(tmp_path: Path, tools: Any):
    source = tmp_path / "lines"
    source.write_text(TEXT)
    code = "import sys; sys.modules['ray'] = None; from s2s_cli.cli.app import main; main()"
    model, out = _model(tools, tmp_path), tmp_path / "out"
    words = ["translate", "--model", str(model), "--ray", "local", str(source), "-o", str(out)]
    ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT)
    message = "error: --ray: this needs Ray, which is not installed (pip install 's2s-cli[ray]')\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", message)


def _model(tools: Any, folder: Path) -> Path:
    tokenizer = CharacterTokenizer("▁abcdefghilnortx0123456789")
    return tools.export(folder / "model", ("fr", "en"), TokenizerPair(tokenizer, tokenizer), packed=True)


@pytest.fixture
def command(tools: Any, tmp_path: Path) -> list[str]:
    pytest.importorskip("ray")
    (tmp_path / "lines").write_text(TEXT)
    (tmp_path / "few").write_text("one\ntwo\n")
    return [sys.executable, "-m", "s2s_cli", "translate", "--greedy", "--model", str(_model(tools, tmp_path))]


def run(command: list[str], folder: Path, **given: Any) -> subprocess.CompletedProcess[bytes]:
    ended = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, **given
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return ended


def test_what_a_file_needs_done_and_what_it_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source, target, task = tmp_path / "lines", tmp_path / "out" / "lines", task_of(tmp_path)
    source.write_text(TEXT)
    monkeypatch.setattr(files, "_translator", lambda task: translator())
    steps = list(files._steps(source, target, task))
    assert [step.part for step in steps] == [Part(1, 2), Part(2, 2)]
    for step in reversed(steps):
        step.do(*step.arguments)
    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: None)  # a crash between the two
    files._join(source, target, task)
    monkeypatch.undo()
    assert sorted(os.listdir(target.parent)) == [".lines.parts", ".lines.record", "lines"]
    (again,) = files._steps(source, target, task)  # it is there, and looked at as a whole
    monkeypatch.setattr(files.shutil, "rmtree", lambda *_, **__: (target.parent / ".lines.parts/lines.1-of-2").unlink())
    again.do(*again.arguments)  # a crash inside
    monkeypatch.undo()
    files._join(source, target, task)  # which Ray does again
    assert sorted(os.listdir(target.parent)) == [".lines.record", "lines"]
    assert target.read_text() == "".join(f"{line}\n" for line in TEXT.swapcase().split("\n"))


def test_what_a_lost_process_left_is_removed_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "few").write_text("few\n")
    target, left = tmp_path / "out" / "few", tmp_path / "out" / ".few.0123456789abcdef.tmp"

    def start(ray: None, do: Any, *arguments: Any) -> str:
        target.parent.mkdir()
        left.touch()
        do(*arguments)
        return "done"

    here = SimpleNamespace(connected=lambda *_: nullcontext(), cores_of=lambda ray: 1, start=start)
    here.ready, here.result_of = (lambda ray, running: running), (lambda *_: None)
    monkeypatch.setattr(files, "cluster", here)
    monkeypatch.setattr(files, "_translator", lambda task: translator())
    assert list(files.translate_files([(tmp_path / "few", target)], task_of(tmp_path), "")) == [target]
    assert sorted(os.listdir(target.parent)) == [".few.record", "few"]


def test_parts_of_an_input_that_has_grown_are_noticed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source, target, task = tmp_path / "lines", tmp_path / "out" / "lines", task_of(tmp_path)
    source.write_text(TEXT)
    monkeypatch.setattr(files, "_translator", lambda task: translator())
    step = next(files._steps(source, target, task))
    step.do(*step.arguments)
    assert len(list(files._steps(source, target, task))) == 2
    source.write_text(TEXT * 2)
    with pytest.raises(UsageError, match="of another input"):
        next(files._steps(source, target, task))
    source.write_text("few\n")
    with pytest.raises(UsageError, match="of another input"):
        next(files._steps(source, target, task))


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2", "5"])
def test_the_same_bytes_by_any_number_of_workers(command: list[str], tmp_path: Path, workers: str):
    for options in ([], ["--json"]):
        out = f"out{len(options)}"
        run([*command, *options, "--ray", "local", "--workers", workers, "lines", "few", "-o", out], tmp_path)
        for name in ("lines", "few"):
            expected = run([*command, *options], tmp_path, input=(tmp_path / name).read_bytes()).stdout
            assert (tmp_path / out / name).read_bytes() == expected
        assert sorted(os.listdir(tmp_path / out)) == [".few.record", ".lines.record", "few", "lines"]


@pytest.mark.slow
def test_after_a_kill_of_the_driver_the_same_command_ends_the_work(command: list[str], tmp_path: Path):
    expected = run(command, tmp_path, input=TEXT.encode()).stdout
    words = [*command, "--ray", "local", "--workers", "2", "lines", "-o", "out"]
    process = subprocess.Popen(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    parts = tmp_path / "out" / ".lines.parts"
    while not (parts.exists() and list(parts.glob("lines*"))):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(words, tmp_path)
    assert (tmp_path / "out" / "lines").read_bytes() == expected
    assert sorted(os.listdir(tmp_path / "out")) == [".lines.record", "lines"]


@pytest.mark.slow
def test_an_error_of_a_part_is_that_of_the_command(command: list[str], tmp_path: Path):
    (tmp_path / "bad").write_bytes(TEXT.encode() + b"\n\xff\n")
    words = [*command, "--strict", "--ray", "local", "bad", "-o", "out"]
    ended = subprocess.run(words, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True)
    assert ended.returncode == 3 and b"invalid UTF-8: byte 0xff" in ended.stderr
    assert not (tmp_path / "out" / "bad").exists()
