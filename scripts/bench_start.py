"""How soon s2s answers: the time from the start of the process to the first byte of a translation, step by step.

    python scripts/bench_start.py --model runs/quickstart
    python scripts/bench_start.py --model runs/quickstart --against 'marian-decoder -m model.npz -v v.yml v.yml --quiet'

Each round runs `s2s translate` for one sentence, `s2s --help` and `s2s --version`, in turn with the other program,
which is given the same sentence on stdin. The first table has the time until the first byte of the answer and until the
end of the process, the second what the time until the first byte is spent on (in further processes, with clocks between
the steps), the third what the imports cost, by Python's own measurement, which slows them.

With `--cold`, every process starts with an empty page cache, as after a boot: the kernel is told to drop it, which only
root may do and which slows everything else on the machine for a while.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from s2s_cli import console
from s2s_cli.errors import MachineError, UserError
from scripts.bench.speed import table
from scripts.bench.workload import ROOT

SHOWN = 12  # packages
PATIENCE = 120.0  # seconds
_CACHES = Path("/proc/sys/vm/drop_caches")

Times = Mapping[str, list[float]]
"""Seconds in each round, by what they were spent on."""

_IMPORT = re.compile(rb"^import time: +(\d+) \| +\d+ \| *(\S+)$", re.MULTILINE)


def main() -> None:
    options = _options()
    try:
        print(report(options))
    except UserError as error:
        sys.exit(f"error: {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/quickstart"), help="a run or its model")
    parser.add_argument("--sentence", default="Où est la gare la plus proche ?")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--options", default="", metavar="TEXT", help="further options of `s2s translate`")
    parser.add_argument("--against", metavar="COMMAND", help="another program, which reads the sentence on stdin")
    parser.add_argument("--cold", action="store_true", help="empty the page cache before each process")
    return parser.parse_args()


def report(options: argparse.Namespace) -> str:
    """The tables. Raises MachineError if a program fails."""
    translate = ["translate", "--model", str(options.model), *shlex.split(options.options)]
    s2s = [sys.executable, "-m", "s2s_cli"]
    commands = {"s2s translate": [*s2s, *translate], "s2s --help": [*s2s, "--help"]}
    commands["s2s --version"] = [*s2s, "--version"]
    if options.against:
        commands[Path(shlex.split(options.against)[0]).name] = shlex.split(options.against)
    text = f"{options.sentence}\n".encode()
    first, last, spent = (defaultdict[str, list[float]](list) for _ in range(3))
    for number in range(options.rounds):
        for name, command in commands.items():
            answered, ended = timed(command, text, cold=options.cold)
            first[name].append(answered)
            last[name].append(ended)
        for step, seconds in timed_steps(translate, text, cold=options.cold).items():
            spent[step].append(seconds)
        console.say(f"round {number + 1}: {1000 * first['s2s translate'][-1]:.0f} ms until the first byte")
    imports = imported(run([sys.executable, "-X", "importtime", "-m", "s2s_cli", *translate], text).stderr)
    return "\n\n".join([programs_table(first, last), steps_table(spent), imports_table(imports)])


# 1. Measuring


def timed(command: Sequence[str], text: bytes, *, cold: bool = False) -> tuple[float, float]:
    """Seconds until a program has written its first byte, and until it has ended. Raises MachineError if it fails."""
    empty_cache(cold)
    with tempfile.TemporaryFile() as messages:
        began = time.monotonic()
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=messages, env=environment()
        ) as process:
            assert process.stdin and process.stdout
            process.stdin.write(text)
            process.stdin.close()
            byte = os.read(process.stdout.fileno(), 1)
            answered = time.monotonic() - began
            process.stdout.read()
            process.wait(PATIENCE)
            ended = time.monotonic() - began
        messages.seek(0)
        if process.returncode or not byte:
            raise _failure(command, messages.read())
    return answered, ended


def timed_steps(arguments: Sequence[str], text: bytes, *, cold: bool = False) -> Mapping[str, float]:
    """Seconds of each step of `s2s ARGUMENTS`."""
    empty_cache(cold)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "steps.json")
        module = [sys.executable, "-m", "scripts.bench.start_steps", str(time.monotonic_ns()), str(path)]
        run([*module, *arguments], text)
        return json.loads(path.read_text())


def run(command: Sequence[str], text: bytes) -> subprocess.CompletedProcess[bytes]:
    """Run a program. Raises MachineError if it fails."""
    ended = subprocess.run(command, input=text, capture_output=True, timeout=PATIENCE, env=environment(), check=False)
    if ended.returncode:
        raise _failure(command, ended.stderr)
    return ended


def _failure(command: Sequence[str], messages: bytes) -> MachineError:
    last = messages.decode(errors="replace").strip().splitlines()[-1:]
    return MachineError(f"{shlex.join(command)} gave no answer: {''.join(last)}")


def environment() -> dict[str, str]:
    """With Python's usual buffers and compiled modules, as users have them."""
    unusual = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
    usual = {name: value for name, value in os.environ.items() if name not in unusual}
    return {**usual, "PYTHONPATH": str(ROOT)}


def empty_cache(cold: bool) -> None:
    """Have nothing of any file in memory, if asked. Raises MachineError if this is not allowed."""
    if not cold:
        return
    os.sync()
    try:
        _CACHES.write_text("3")
    except OSError as error:
        raise MachineError(f"the page cache cannot be emptied: {error.strerror}", where=_CACHES) from error


def imported(messages: bytes) -> Counter[str]:
    """Seconds by package, from what `python -X importtime` writes. All of Python's own modules are one package."""
    found = Counter[str]()
    for line in _IMPORT.finditer(messages):
        package = line[2].decode().partition(".")[0]
        found["Python's own" if package in sys.stdlib_module_names else package] += int(line[1]) / 1e6
    return found


# 2. Tables


def programs_table(first: Times, last: Times) -> str:
    rows = [[name, milliseconds(first[name]), milliseconds(last[name])] for name in first]
    return table(["program", "first byte, ms", "end, ms"], rows)


def steps_table(spent: Times) -> str:
    """The steps in their order, and their sum."""
    rows = [[step, milliseconds(seconds)] for step, seconds in spent.items()]
    whole = [sum(each) for each in zip(*spent.values(), strict=True)]
    return table(["step of s2s translate", "ms"], [*rows, ["all", milliseconds(whole)]])


def imports_table(found: Counter[str]) -> str:
    rows = [[name, f"{1000 * seconds:.1f}"] for name, seconds in found.most_common(SHOWN)]
    return table(["imports of", "ms"], [*rows, ["all", f"{1000 * found.total():.1f}"]])


def milliseconds(seconds: Sequence[float]) -> str:
    """`median (least)`."""
    return f"{1000 * median(seconds):.1f} ({1000 * min(seconds):.1f})"


if __name__ == "__main__":
    main()
