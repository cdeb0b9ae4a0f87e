"""Training speed of s2s and of the other programs on the reference workload, in turn, on this machine.

    scripts/bench/install_peers.sh                        # once: OpenNMT-py, Joey NMT and Marian, below build/peers
    S2S_DATA=/path/to/data python scripts/bench_train.py  # three rounds; eight minutes a round with all programs
    python scripts/bench_train.py --only s2s s2s-fp32 opennmt --rounds 5 --seconds 60
    python scripts/bench_train.py --scale                 # s2s on the corpus and on one 100 times as long

The workload: Multi30k from German into English, 8,000 joint pieces, embeddings 256, bidirectional GRU 2 × 256, GRU
decoder 512, additive attention 512, nothing tied, dropout 0.2, Adam 1e-3, 64 pairs a batch, at most 60 pieces a side.

A program is started afresh in each round and stopped after so many seconds of training. Its speed is what it tells in
its own log, over all reports but the first, which has the start-up in it. Target tokens include the end of sentence.
The table goes to stdout.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from s2s_cli import console
from s2s_cli.data.corpora import locate
from s2s_cli.errors import UserError
from scripts.bench.peers import JoeyNMT, Marian, OpenNMT, Peer, installed
from scripts.bench.processes import Command, end_on_sigterm, run
from scripts.bench.speed import Report, mean_speed, s2s_reports, spread, table
from scripts.bench.workload import RECIPE, REFERENCE, ROOT, prepare_workload, reference_recipe, repeat_corpus
from scripts.bench_kernels import FLOP_PER_TOKEN, matrix_product_rate

TIMES_LONGER = 100
TORCHRUN = "torch.distributed.run --standalone --nproc-per-node"
KINDS = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Trainee:
    """Something to measure.

    start: empties the folder it gets, and returns the command that trains there. reports: what there is of that
    training's reports.
    """

    name: str
    title: str
    precision: str
    start: Callable[[Path], Command]
    reports: Callable[[Path], list[Report]]


@dataclass(frozen=True)
class Measured:
    tokens_per_second: float
    peak_bytes: int


def main() -> None:
    options = _options()
    end_on_sigterm()
    torch.set_num_threads(options.threads)
    try:
        print(measure_scale(options) if options.scale else measure_programs(options))
    except UserError as error:
        sys.exit(f"error: {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60, help="of training in a round, start-up apart")
    parser.add_argument("--threads", type=int, default=2)
    names = ["s2s", "s2s-fp32", "s2s-torchrun", "opennmt", "joeynmt", "marian"]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=" ".join(names))
    parser.add_argument("--work", type=Path, default=Path("runs/bench"), help="folder for all that is written")
    parser.add_argument("--peers", type=Path, default=Path("build/peers"), help="folder that install_peers.sh filled")
    parser.add_argument("--scale", action="store_true", help=f"compare with a corpus {TIMES_LONGER} times as long")
    return parser.parse_args()


# 1. What is measured


def s2s_trainees(threads: int) -> list[Trainee]:
    """s2s in both number types, and as two processes that share the threads."""
    bf16 = s2s_trainee("s2s", "s2s", "bf16", threads)
    together = s2s_trainee("s2s-torchrun", f"s2s, {threads} processes of 1 thread", "bf16", 1, processes=threads)
    return [bf16, s2s_trainee("s2s-fp32", "s2s", "fp32", threads), together]


def s2s_trainee(
    name: str, title: str, precision: str, threads: int, processes: int = 1, overrides: Sequence[str] = ()
) -> Trainee:
    """threads: of each process. overrides: further settings of the recipe."""
    settings = [*REFERENCE, *overrides, f"training.precision={precision}", f"training.threads={threads}"]
    # without `--` torchrun takes our `--run` for one of its own options, cut short
    launcher = f"{TORCHRUN} {processes} -m -- s2s_cli" if processes > 1 else "s2s_cli"

    def start(folder: Path) -> Command:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        (folder / "metrics.jsonl").unlink(missing_ok=True)
        chosen = [str(RECIPE), "--run", str(folder), *(f"--set={setting}" for setting in settings)]
        environment = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
        run(Command([sys.executable, "-m", "s2s_cli", "prep", *chosen], environment), folder / "prep.log")
        return Command([sys.executable, "-m", *launcher.split(), "train", *chosen], environment)

    return Trainee(name, title, precision, start, lambda folder: s2s_reports(folder / "metrics.jsonl"))


def peer_trainee(peer: Peer) -> Trainee:
    def start(folder: Path) -> Command:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return peer.train(folder)

    def reports(folder: Path) -> list[Report]:
        return peer.reports((folder / "log").read_text(errors="replace"))

    return Trainee(peer.name, peer.title, peer.precision, start, reports)


# 2. Measuring


def measure_programs(options: argparse.Namespace) -> str:
    """A table of all programs that are there."""
    workload = prepare_workload(options.work.resolve() / "workload")
    peers = [kind(options.peers.resolve(), workload, options.threads) for kind in (OpenNMT, JoeyNMT, Marian)]
    trainees = interleave(s2s_trainees(options.threads), [peer_trainee(peer) for peer in installed(peers)])
    if options.only:
        trainees = [trainee for trainee in trainees if trainee.name in options.only]
    rounds, rates = measure_rounds(trainees, options)
    limits = {precision: median(values) for precision, values in rates.items()}
    described = ", ".join(f"{name} {rate / 1e9:,.0f} GFLOP/s" for name, rate in limits.items())
    return f"{programs_table(trainees, rounds, limits)}\n\nMatrix products on {options.threads} threads: {described}."


def interleave(ours: Sequence[Trainee], theirs: Sequence[Trainee]) -> list[Trainee]:
    """One of ours, one of theirs, and so on: what slows the machine for a while slows both sides."""
    longest = max(len(ours), len(theirs))
    return [side[index] for index in range(longest) for side in (ours, theirs) if index < len(side)]


def measure_rounds(
    trainees: Sequence[Trainee], options: argparse.Namespace
) -> tuple[list[dict[str, Measured]], dict[str, list[float]]]:
    """For each round what each trainee reached, and for each number type the machine's FLOP/s in each round."""
    rounds: list[dict[str, Measured]] = []
    rates: dict[str, list[float]] = defaultdict(list)
    for index in range(options.rounds):
        for precision, kind in KINDS.items():
            rates[precision].append(matrix_product_rate(kind))
        rounds.append({})
        for trainee in trainees:
            try:
                measured = measure(trainee, options.work.resolve() / "train" / trainee.name, options.seconds)
            except UserError as error:
                console.warn(f"{trainee.name}: {error}")
                continue
            rounds[-1][trainee.name] = measured
            console.say(f"round {index + 1}: {trainee.name} {measured.tokens_per_second:,.0f} target tokens/s")
    return rounds, rates


def measure(trainee: Trainee, folder: Path, seconds: float) -> Measured:
    """Train for so many seconds from the first report on. Raises UserError if the program fails."""
    command = trainee.start(folder)
    first_report: float | None = None

    def enough() -> bool:
        nonlocal first_report
        if first_report is None and trainee.reports(folder):
            first_report = time.perf_counter()
        return first_report is not None and time.perf_counter() - first_report >= seconds

    ended = run(command, folder / "log", enough)
    if not (reports := trainee.reports(folder)):
        raise UserError("training ended before it told its speed", where=folder / "log")
    return Measured(mean_speed(reports), ended.peak_bytes)


def measure_scale(options: argparse.Namespace) -> str:
    """A table of s2s on the corpus and on one that repeats it many times."""
    folder = options.work.resolve() / "scale"
    folder.mkdir(parents=True, exist_ok=True)
    corpus = locate(reference_recipe().data.train[0], [RECIPE.parent])
    longer = {side: folder / f"train.{side}" for side in ("source", "target")}
    for side, path in longer.items():
        if not path.exists():
            repeat_corpus(corpus.files[side].path, path, TIMES_LONGER)
    overrides = [
        f"data.train=[{{source: {longer['source']}, target: {longer['target']}}}]",
        "data.cleaning.deduplicate=false",
    ]
    once = s2s_trainee("s2s", "the corpus", "bf16", options.threads)
    trainees = [once, s2s_trainee("s2s-longer", f"× {TIMES_LONGER}", "bf16", options.threads, overrides=overrides)]
    rounds, _ = measure_rounds(trainees, options)
    return scale_table(trainees, rounds)


# 3. Tables


def programs_table(trainees: Sequence[Trainee], rounds: list[dict[str, Measured]], limits: dict[str, float]) -> str:
    """limits: the machine's FLOP/s for each number type. How much faster s2s is comes from each round by itself."""
    header = ["program", "numbers", "target tokens/s", "s2s is × as fast", "of the machine's products", "peak memory"]
    rows = []
    for trainee in trainees:
        done = [one for one in rounds if trainee.name in one]
        if not done:
            continue
        speeds = [one[trainee.name].tokens_per_second for one in done]
        pairs = [one["s2s"].tokens_per_second / one[trainee.name].tokens_per_second for one in done if "s2s" in one]
        share = median(speeds) * FLOP_PER_TOKEN / limits[trainee.precision]
        peak = max(one[trainee.name].peak_bytes for one in done)
        rows.append(
            [trainee.title, trainee.precision, spread(speeds), spread(pairs, 2), f"{share:.0%}", f"{peak >> 20:,} MiB"]
        )
    return table(header, rows)


def scale_table(trainees: Sequence[Trainee], rounds: list[dict[str, Measured]]) -> str:
    """Speed and memory on each corpus, relative to the first."""
    rows = []
    first = trainees[0].name
    for trainee in trainees:
        done = [one for one in rounds if trainee.name in one and first in one]
        if not done:
            continue
        speeds = [one[trainee.name].tokens_per_second for one in done]
        faster = [one[trainee.name].tokens_per_second / one[first].tokens_per_second for one in done]
        peaks = [one[trainee.name].peak_bytes / 2**20 for one in done]
        larger = [one[trainee.name].peak_bytes / one[first].peak_bytes for one in done]
        rows.append([trainee.title, spread(speeds), spread(faster, 3), spread(peaks), spread(larger, 3)])
    return table(["trained on", "target tokens/s", "relative", "peak memory, MiB", "relative"], rows)


if __name__ == "__main__":
    main()
