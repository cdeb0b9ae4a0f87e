"""What dividing the work costs: `s2s translate --ray local` against `--workers`, and the memory of the driver.

    python scripts/bench_bulk.py --model runs/mine/model --text text.de --lines 200000 --rounds 3
    python scripts/bench_bulk.py --model runs/mine/model --memory

Both commands translate the same lines in turn, from start to end, as whole processes; the outputs are compared. With
`--memory`, files of 10^4, 10^5 and 10^6 blank lines of 60 characters are translated, which no model sees, and the
peak of the driver is told for each. Figures are printed as JSON. It needs s2s-cli[ray].
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="bench-bulk-", dir=options.folder) as folder:
        figures = _memory(options, Path(folder)) if options.memory else _speed(options, Path(folder))
    print(json.dumps(figures, indent=2))


def _speed(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    text, plain, target = folder / "text", folder / "plain", folder / "ray"
    with options.text.open("rb") as lines:
        text.write_bytes(b"".join(islice(cycle(lines.readlines()), options.lines)))
    commands = {
        "workers": ["--workers", options.workers, str(text), "-o", str(plain)],
        "ray": ["--ray", "local", "--workers", options.workers, str(text), "-o", str(target)],
    }
    rates: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, words in commands.items():
            shutil.rmtree(target, ignore_errors=True)
            rates[name].append(options.lines / _run(options, words)[0])
    if (target / "text").read_bytes() != plain.read_bytes():
        sys.exit("the outputs differ")
    ratios = [ray / workers for ray, workers in zip(rates["ray"], rates["workers"], strict=True)]
    return {
        "lines": options.lines,
        "lines_a_second": {name: [round(rate, 1) for rate in found] for name, found in rates.items()},
        "ratios": [round(ratio, 3) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 3),
    }


def _memory(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Peak memory of the driver in MiB, by the number of lines."""
    peaks = {}
    for lines in (10**4, 10**5, 10**6):
        text = folder / str(lines)
        text.write_bytes((b" " * 60 + b"\n") * lines)
        words = ["--ray", "local", "--workers", options.workers, str(text), "-o", str(folder / "out")]
        peaks[f"{lines:,}"] = round(_run(options, words)[1], 1)
    return {"driver_mib": peaks}


def _run(options: argparse.Namespace, words: list[str]) -> tuple[float, float]:
    """Seconds, and the peak of the resident memory of the process itself in MiB."""
    command = [sys.executable, "-m", "s2s_cli", "translate", "--model", str(options.model), *words]
    begin, peak = time.monotonic(), 0.0
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    while process.poll() is None:
        peak = max(peak, _peak(process.pid))
        time.sleep(0.1)
    if process.returncode:
        sys.exit(process.stderr.read().decode() if process.stderr else 1)
    return time.monotonic() - begin, peak


def _peak(process: int) -> float:
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmHWM")), 0.0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, help="plain lines, which are repeated as often as needed")
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--memory", action="store_true", help="the memory of the driver instead")
    parser.add_argument("--folder", type=Path, help="where to work; the system's temporary folder by default")
    options = parser.parse_args()
    if not options.memory and options.text is None:
        parser.error("--text is needed")
    return options


if __name__ == "__main__":
    main()
