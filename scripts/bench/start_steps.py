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
from collections.abc import Callable  # noqa: E402
from functools import wraps  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, NoReturn  # noqa: E402

MODULES = ["s2s_cli.cli.app", "s2s_cli.inference.translator", "s2s_cli.inference.stream"]
"""What `s2s translate` imports, one after the other."""

STEPS = {
    "reading the model": ["s2s_cli.inference.loading:load_model_files"],
    "reading the tokenizers": ["s2s_cli.checkpoint.model_directory:load_tokenizers"],
    "building the engine": ["s2s_cli.inference.loading:_engine"],
    "translating": ["s2s_cli.inference.translator:Translator.translate"],
}
"""Functions that are timed, in the modules whose name for them is called."""

FIRST_BYTE = "s2s_cli.inference.lines:LineWriter.write"


class Timeline:
    """Seconds by step, so far."""

    def __init__(self, began: int) -> None:
        self.spent = Counter[str]()
        self._last = began
        self._open = ["the rest"]

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


def main() -> None:
    started, path, *arguments = sys.argv[1:]
    timeline = Timeline(_BEGAN)
    timeline.spent["interpreter"] = _BEGAN - int(started)
    timeline.note("this measurement")
    from s2s_cli.__main__ import main as run

    for module in MODULES:
        import_module(module)
    timeline.note("imports")
    for step, places in STEPS.items():
        for place in places:
            _replace(place, lambda function, step=step: timeline.timed(step, function))
    _replace(FIRST_BYTE, lambda _: lambda *_: _end(timeline, Path(path)))
    sys.argv = ["s2s", *arguments]
    timeline.note("this measurement")
    run()


def _replace(place: str, by: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    module, _, dotted = place.partition(":")
    owner: Any = import_module(module)
    *above, name = dotted.split(".")
    for each in above:
        owner = getattr(owner, each)
    setattr(owner, name, by(getattr(owner, name)))


def _end(timeline: Timeline, path: Path) -> NoReturn:
    """Instead of the first byte. Whatever the command does with exceptions, it must not go on."""
    timeline.note()
    path.write_text(json.dumps({step: spent / 1e9 for step, spent in timeline.spent.items()}))
    os._exit(0)


if __name__ == "__main__":
    main()
