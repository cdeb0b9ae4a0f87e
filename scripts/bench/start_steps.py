"""Runs `s2s ARGUMENTS` in this process, and writes what the time until the first byte of its answer was spent on.

    python -m scripts.bench.start_steps NANOSECONDS FILE translate --model runs/quickstart

NANOSECONDS is the monotonic clock when the process was started, and FILE gets seconds by step, as JSON. A step inside
another one counts as itself alone. `scripts/bench_start.py` uses this.
"""

from __future__ import annotations

import time

_BEGAN = time.monotonic_ns()  # before anything else is imported

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from collections import Counter  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from functools import wraps  # noqa: E402
from importlib.machinery import ModuleSpec, PathFinder  # noqa: E402
from pathlib import Path  # noqa: E402
from types import ModuleType  # noqa: E402
from typing import Any, NoReturn  # noqa: E402

STEPS = {
    "s2s_cli.cli.options:MachineArguments.load_translator": "importing what translates",
    "s2s_cli.inference.loading:load_model_files": "reading the model",
    "s2s_cli.checkpoint.model_directory:load_tokenizers": "reading the tokenizers",
    "s2s_cli.inference.loading:_engine": "building the engine",
    "s2s_cli.inference.translator:Translator.translate": "translating",
}
"""Functions that are timed, by the names under which they are called."""

FIRST_BYTE = "s2s_cli.inference.lines:LineWriter.write"


class Timeline:
    """Nanoseconds by step, so far."""

    def __init__(self, began: int) -> None:
        self.spent = Counter[str]()
        self._last = began
        self._open = ["command line"]

    def note(self, step: str | None = None) -> None:
        """Count the time since the last note, for the given step or for the innermost one that has been entered."""
        now = time.monotonic_ns()
        self.spent[step or self._open[-1]] += now - self._last
        self._last = now

    def timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts for a step."""

        @wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.note()
            self._open.append(step)
            try:
                return function(*arguments, **keywords)
            finally:
                self.note()
                self._open.pop()

        return call


class Replacing(PathFinder):
    """Finds modules, and replaces functions in them when they have been imported, not before."""

    def __init__(self, replacements: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]]) -> None:
        self.replacements = replacements

    def find_spec(  # type: ignore[override]
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        own = {place.partition(":")[2]: by for place, by in self.replacements.items() if place.startswith(f"{name}:")}
        spec = PathFinder.find_spec(name, path, target) if own else None
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._then_replace(spec.loader.exec_module, own)  # type: ignore[method-assign]
        return spec

    def _then_replace(
        self, execute: Callable[[ModuleType], None], own: dict[str, Callable[..., Any]]
    ) -> Callable[[ModuleType], None]:
        def run(module: ModuleType) -> None:
            execute(module)
            for dotted, by in own.items():
                owner: Any = module
                *above, name = dotted.split(".")
                for each in above:
                    owner = getattr(owner, each)
                setattr(owner, name, by(getattr(owner, name)))

        return run


def main() -> None:
    started, path, *arguments = sys.argv[1:]
    timeline = Timeline(_BEGAN)
    timeline.spent["interpreter"] = _BEGAN - int(started)
    replacements = {place: lambda function, step=step: timeline.timed(step, function) for place, step in STEPS.items()}
    replacements[FIRST_BYTE] = lambda _: lambda *_: _end(timeline, Path(path))
    sys.meta_path.insert(0, Replacing(replacements))
    sys.argv = ["s2s", *arguments]
    timeline.note("this measurement")
    from s2s_cli.__main__ import main as run

    run()


def _end(timeline: Timeline, path: Path) -> NoReturn:
    """Instead of the first byte. Whatever the command does with exceptions, it must not go on."""
    timeline.note()
    path.write_text(json.dumps({step: spent / 1e9 for step, spent in timeline.spent.items()}))
    os._exit(0)


if __name__ == "__main__":
    main()
