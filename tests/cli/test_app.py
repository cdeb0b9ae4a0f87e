"""The command as a process: what it imports, says and answers to its shell."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from s2s_cli.cli.app import COMMANDS, message_and_code
from s2s_cli.errors import CheckpointError, DataError, ExitCode, MachineError, RecipeError, Stopped, UsageError

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def python(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], text=True, env=ENVIRONMENT, timeout=600, **{"capture_output": True} | options
    )


def s2s(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return python("-m", "s2s_cli", *arguments, **options)


def test_the_translator_is_there_for_python():
    import s2s_cli
    from s2s_cli.inference.translator import Translator

    assert s2s_cli.Translator is Translator
    with pytest.raises(AttributeError):
        s2s_cli.Translater  # noqa: B018


def test_version():
    from s2s_cli import __version__

    assert s2s("--version").stdout == f"s2s {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str):
    result = s2s(command, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Usage: s2s {command}")
    assert f"\n  s2s {command}" in result.stdout  # an example
    assert command in s2s("--help").stdout


def test_options_stand_in_groups():
    page = s2s("translate", "--help").stdout
    assert page.index("\nArguments:") < page.index("\nOptions:") < page.index("\nOutput:") < page.index("\nSearch")
    assert page.index("\nSearch") < page.index("--beam N") < page.index("\nMachine:") < page.index("--device")


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (UsageError("no", where="--beam", hint="yes"), "error: --beam: no (yes)", 2),
        (RecipeError([UsageError("a", where="r:1"), UsageError("b", where="r:2")]), "error: r:1: a\nr:2: b", 2),
        (DataError("bad", where="file:3"), "error: file:3: bad", 3),
        (CheckpointError("bad"), "error: bad", 3),
        (MachineError("bad"), "error: bad", 1),
        (Stopped("stopped", exit_code=ExitCode.TERMINATED, hint="go on"), "stopped (go on)", 143),
        (KeyboardInterrupt(), "interrupted", 130),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch"),
            "error: this needs PyTorch, which is not installed (pip install torch)",
            1,
        ),
        (BrokenPipeError(), "", 1),
        (FileNotFoundError(2, "No such file", "x"), "error: x: No such file", 1),
        (MemoryError(), "error: not enough memory (a smaller batch needs less: batch_tokens)", 1),
        (RuntimeError("CUDA out of memory"), "error: not enough memory (a smaller batch needs less: batch_tokens)", 1),
        (ValueError("x\ny"), "error: this is a fault of the program: ValueError: x (`s2s --debug ...` shows where)", 1),
    ],
)
def test_errors_become_messages_and_exit_codes(error: BaseException, message: str, code: int):
    assert message_and_code(error) == (message, code)


BOMB = "a: &a [x, x]\n" + "".join(f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("name: x\ntgt: no\n", "r.yaml:2: ", "tgt: unknown key"),
        ("name: x\nseed: 1e-3\n", "r.yaml:2: ", "seed: give a whole number, not 0.001"),
        ("name: x\nname: y\n", "r.yaml:2: ", "the key `name` is repeated here"),
        ("name: x\ntrainig: {}\n", "r.yaml:2: ", "did you mean `training`?"),
        ("name: !!python/object/apply:os.system [exit]\n", "r.yaml:1: ", "the tag"),
        ("a: " + "[" * 5000, "r.yaml:1: ", "more than 20 levels"),
        (BOMB, "r.yaml:1: ", "anchors and aliases"),
    ],
)
def test_a_wrong_recipe_is_exit_2_with_file_and_line(tmp_path: Path, text: str, where: str, what: str):
    (tmp_path / "r.yaml").write_text(text)
    result = s2s("prep", "r.yaml", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")
    assert any(where in line and what in line for line in result.stderr.splitlines())
    assert "Traceback" not in result.stderr
    assert os.listdir(tmp_path) == ["r.yaml"]


def test_wrong_options_are_exit_2():
    for arguments in (["--nonsense"], ["nonsense"], ["prep"], ["translate", "--threads", "0"]):
        result = s2s(*arguments)
        assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")
        assert "Traceback" not in result.stderr


def test_a_command_that_is_nearly_right_is_suggested():
    assert "Did you mean 'translate'" in s2s("tranlate").stderr


def test_without_a_command_there_is_the_page_of_all():
    result = s2s()
    assert result.returncode == ExitCode.USAGE
    assert all(f"\n  {command} " in result.stdout + result.stderr for command in COMMANDS)


def test_a_traceback_only_with_debug(tmp_path: Path):
    arguments = ("evaluate", "--hypothesis", "none", "--reference", "none")
    plain, debug = s2s(*arguments, cwd=tmp_path), s2s("--debug", *arguments, cwd=tmp_path)
    assert plain.stderr == "error: none: cannot be read: No such file or directory\n"
    assert debug.stderr.startswith("Traceback")
    assert debug.stderr.endswith(plain.stderr)
    assert plain.returncode == debug.returncode != ExitCode.DONE


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["evaluate", "--hypothesis", "a", "--reference", "a"]])
def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path, arguments: list[str]):
    (tmp_path / "a").write_text("a b c d\n")
    with open("/dev/full", "w") as full:
        result = s2s(*arguments, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, capture_output=False)
    assert (result.returncode, result.stderr) == (
        ExitCode.MACHINE,
        "error: reading or writing failed: No space left on device\n",
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["translate", "missing"], ["translate", "--greedy", "--beam", "2"], ["--no"]])
def test_wrong_options_are_exit_2_though_stderr_takes_no_message(tmp_path: Path, arguments: list[str]):
    with open("/dev/full", "w") as full:
        result = s2s(*arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=full, capture_output=False)
    assert (result.returncode, result.stdout) == (ExitCode.USAGE, "")


def test_a_reader_that_has_gone_is_no_news(tmp_path: Path):
    (tmp_path / "a").write_text("a b c d\n")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        result = s2s(
            *("evaluate", "--hypothesis", "a", "--reference", "a"),
            **{"cwd": tmp_path, "stdout": writing, "stderr": subprocess.PIPE, "capture_output": False},
        )
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (ExitCode.MACHINE, "")


WAITING = """
import sys, time
import s2s_cli.evaluation.metrics
from s2s_cli.cli import app

def wait(*arguments):
    print("waiting", flush=True)
    time.sleep(600)

s2s_cli.evaluation.metrics.read_stdin = wait
sys.argv = ["s2s", "evaluate", "--reference", "none"]
app.main()
"""


@pytest.mark.parametrize(
    ("number", "code", "message"), [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "terminated\n")]
)
def test_signals(number: signal.Signals, code: int, message: str):
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(number)
        _, stderr = process.communicate(timeout=600)
    assert (process.returncode, stderr) == (code, message)
