from __future__ import annotations

import os
from pathlib import Path

import pytest

from s2s_cli.errors import ExitCode, UsageError
from s2s_cli.inference.model_path import find_model


def make_model(directory: Path, *, age: int = 0) -> Path:
    """A directory that looks like a model, exported `age` seconds ago."""
    directory.mkdir(parents=True)
    config = directory / "config.json"
    config.write_text("{}")
    os.utime(config, (1_000_000_000 - age, 1_000_000_000 - age))
    return directory


def test_a_named_model_comes_before_all_others(tmp_path: Path) -> None:
    named, other = make_model(tmp_path / "named"), make_model(tmp_path / "other")
    make_model(tmp_path / "runs/a/model")
    assert find_model(named, {"S2S_MODEL": str(other)}, tmp_path / "runs") == named


def test_the_variable_comes_before_the_runs(tmp_path: Path) -> None:
    model = make_model(tmp_path / "m")
    make_model(tmp_path / "runs/a/model")
    assert find_model(None, {"S2S_MODEL": str(model)}, tmp_path / "runs") == model


@pytest.mark.parametrize("environment", [{}, {"S2S_MODEL": ""}])
def test_else_the_newest_run_with_a_model(
    tmp_path: Path, environment: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    only = make_model(tmp_path / "runs/a/model", age=20)
    assert find_model(None, environment, tmp_path / "runs") == only
    assert capsys.readouterr().err == ""
    newest = make_model(tmp_path / "runs/b/model", age=10)
    make_model(tmp_path / "runs/c/model", age=30)
    (tmp_path / "runs/d/checkpoints").mkdir(parents=True)  # still training
    assert find_model(None, environment, tmp_path / "runs") == newest
    assert "runs/b/model is the newest of 3 models" in capsys.readouterr().err


def test_a_run_stands_for_its_model(tmp_path: Path) -> None:
    model = make_model(tmp_path / "run/model")
    assert find_model(tmp_path / "run", {}, tmp_path) == model
    assert find_model(None, {"S2S_MODEL": str(tmp_path / "run")}, tmp_path) == model


def test_errors_say_what_is_wrong_and_where(tmp_path: Path) -> None:
    (tmp_path / "young/checkpoints").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "prepared/data").mkdir(parents=True)
    (tmp_path / "prepared/data/manifest.json").write_text("{}")
    messages = {"gone": "no such directory", "young": "no model yet", "empty": "neither a model"}
    for path, message in (messages | {"prepared": "no model yet"}).items():
        with pytest.raises(UsageError, match=message) as raised:
            find_model(tmp_path / path, {}, tmp_path)
        assert raised.value.where == f"--model {tmp_path / path}"
        assert raised.value.exit_code == ExitCode.USAGE
    with pytest.raises(UsageError) as raised:
        find_model(None, {"S2S_MODEL": "gone"}, tmp_path)
    assert raised.value.where == "S2S_MODEL gone"
    with pytest.raises(UsageError, match="no model below") as raised:
        find_model(None, {}, tmp_path / "nothing")
    assert raised.value.hint is not None and "s2s train" in raised.value.hint
