"""The choice of the model to translate with."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from s2s_cli import console
from s2s_cli.errors import UsageError

CONFIG_FILE = "config.json"
VARIABLE = "S2S_MODEL"


def find_model(explicit: Path | None, environment: Mapping[str, str], runs: Path) -> Path:
    """The model directory: the one named, else that of the variable `S2S_MODEL`, else the newest below `runs`.

    A run directory means its model. Raises UsageError if there is none.
    """
    if explicit is not None:
        return model_directory(explicit, asked_by="--model")
    if environment.get(VARIABLE):
        return model_directory(Path(environment[VARIABLE]), asked_by=VARIABLE)
    return _newest(runs)


def model_directory(path: Path, *, asked_by: str = "--model") -> Path:
    """The model directory at `path`, or that of the run directory at `path`."""
    for directory in (path, path / "model"):
        if (directory / CONFIG_FILE).is_file():
            return directory
    if not path.is_dir():
        hint = "correct the path, or make the model first, with `s2s train`"
        raise UsageError("there is no such directory", where=f"{asked_by} {path}", hint=hint)
    if any((path / name).exists() for name in ("recipe.yaml", "checkpoints", "data/manifest.json")):
        raise UsageError(
            "this run has no model yet", where=f"{asked_by} {path}", hint="`s2s train` exports it when it ends"
        )
    raise UsageError(
        f"this is neither a model directory nor a run directory: no {CONFIG_FILE}",
        where=f"{asked_by} {path}",
        hint="name a run of `s2s train`, or its folder `model`",
    )


def _newest(runs: Path) -> Path:
    """The most recently exported model of all runs below `runs`. Of each run one file is looked at, and no more."""
    found = list(_exported(runs))
    if not found:
        raise UsageError(
            f"there is no model below {runs}", hint=f"name one with --model or {VARIABLE}, or make one with `s2s train`"
        )
    newest = runs / max(found)[1] / "model"
    if len(found) > 1:
        console.say(f"{newest} is the newest of {len(found)} models below {runs} (--model names another)")
    return newest


def _exported(runs: Path) -> Iterator[tuple[int, str]]:
    """When the model of a run was exported, and the name of the run."""
    for name in os.listdir(runs) if runs.is_dir() else ():
        with suppress(OSError):  # a run without a model
            status = os.stat(f"{runs}/{name}/model/{CONFIG_FILE}")
            if stat.S_ISREG(status.st_mode):
                yield status.st_mtime_ns, name
