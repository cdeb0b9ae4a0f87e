"""The choice of the model to translate with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

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
        raise UsageError("there is no such directory", where=f"{asked_by} {path}")
    if any((path / name).exists() for name in ("recipe.yaml", "checkpoints")):
        raise UsageError(
            "this run has no model yet", where=f"{asked_by} {path}", hint="`s2s train` exports it when it ends"
        )
    raise UsageError(
        f"this is neither a model directory nor a run directory: no {CONFIG_FILE}", where=f"{asked_by} {path}"
    )


def _newest(runs: Path) -> Path:
    """The most recently exported model of all runs below `runs`."""
    configs = [config for config in runs.glob(f"*/model/{CONFIG_FILE}") if config.is_file()]
    if not configs:
        raise UsageError(
            f"there is no model below {runs}", hint=f"name one with --model or {VARIABLE}, or make one with `s2s train`"
        )
    return max(configs, key=lambda config: (config.stat().st_mtime_ns, str(config))).parent
