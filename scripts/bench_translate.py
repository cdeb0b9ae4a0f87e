r"""Translation speed of s2s and of the other programs on one test set, in turn, on this machine.

    scripts/bench/install_peers.sh                        # once: OpenNMT-py, Joey NMT and Marian, below build/peers
    export S2S_DATA=/path/to/data
    s2s train recipes/multi30k-de-en.yaml --run runs/reference --set model.tied=none \
        --set model.attention.query=previous
    python scripts/bench_translate.py
    python scripts/bench_translate.py --only s2s-int8 marian --rounds 5

A thousand captions of Multi30k, from German into English, beam 5, 64 sentences a batch. s2s reads and writes text; the
other programs are given pieces, and spend no time on text. They need a model of the reference workload, which is
trained once, for --train-minutes each, and kept in the work folder. A model that was trained for longer writes better
text of much the same length, so compare tokens, and BLEU only between the variants of one program.

Loading is taken off by running each program on the first line alone: what the table calls a second is one of the whole
run less that of one line, which is also the time from the start of the process to the answer for a single sentence.
Target tokens are the pieces of the output text in the vocabulary of the workload. The tables go to stdout.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import sacrebleu

from s2s_cli import console
from s2s_cli.errors import UserError
from s2s_cli.text.tokenizer import WORD_START, Tokenizer
from scripts.bench.peers import JoeyNMT, Marian, MarianPacked, OpenNMT, Peer, installed
from scripts.bench.processes import Command, end_on_sigterm, run
from scripts.bench.speed import spread, table
from scripts.bench.workload import ROOT, Workload, prepare_workload, write_lines

SAVE_EVERY = 200  # updates of a peer's training

# 64 captions have a thousand pieces.
ALL_VARIANTS = "--beam 5 --batch-tokens 1000 --threads {threads}"

# name -> the number type to show, further arguments of `s2s translate`
VARIANTS = {
    "s2s-reference": ("fp32, plain PyTorch", "--engine reference --precision fp32 --workers 1"),
    "s2s-fp32": ("fp32", "--engine fast --workers {threads}"),
    "s2s-int8": ("int8", "--engine int8 --workers {threads}"),
    "s2s-shortlist": ("int8, shortlist", "--engine int8 --shortlist --workers {threads}"),
}


@dataclass(frozen=True)
class Contender:
    """Something to measure. translate: the command for the file with the sources and the one for the translations."""

    name: str
    title: str
    numbers: str
    takes_pieces: bool
    translate: Callable[[Path, Path], Command]


@dataclass(frozen=True)
class Measured:
    """One round. one_line: seconds for the first line alone. tokens: pieces of the output."""

    seconds: float
    one_line: float
    tokens: int
    sentences: int
    bleu: float
    peak_bytes: int

    @property
    def work(self) -> float:
        """Seconds with the loading taken off."""
        return self.seconds - self.one_line

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.work


def main() -> None:
    options = _options()
    end_on_sigterm()
    try:
        workload = prepare_workload(options.work.resolve() / "workload")
        contenders = contenders_of(options, workload)
        if not options.train_only:
            print(tables(contenders, measure_rounds(contenders, workload, options)))
    except UserError as error:
        sys.exit(f"error: {error}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path("runs/reference"), help="of s2s: a run or its model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    names = [*VARIANTS, "opennmt", "joeynmt", "marian", "marian-packed8"]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=" ".join(names))
    parser.add_argument("--lines", type=int, default=1000, help="of the test set, from the start again at its end")
    parser.add_argument("--train-minutes", type=float, default=20, help="for each program that has no model yet")
    parser.add_argument("--train-only", action="store_true", help="stop when each program has its model")
    parser.add_argument("--work", type=Path, default=Path("runs/bench"), help="folder for all that is written")
    parser.add_argument("--peers", type=Path, default=Path("build/peers"), help="folder that install_peers.sh filled")
    return parser.parse_args()


# 1. What is measured


def contenders_of(options: argparse.Namespace, workload: Workload) -> list[Contender]:
    """The variants of s2s, and each program that is installed, after its training."""
    contenders = [s2s_contender(name, options.model, options.threads) for name in VARIANTS]
    kinds = [kind for kind in (OpenNMT, Marian, MarianPacked, JoeyNMT) if wanted(kind.name, options)]
    for peer in installed(kind(options.peers.resolve(), workload, options.threads) for kind in kinds):
        try:
            model = trained(peer, options.work.resolve() / "models" / peer.environment, 60 * options.train_minutes)
        except UserError as error:
            console.warn(f"{peer.title} is left out: {error}")
            continue
        contenders.append(peer_contender(peer, model))
    return [contender for contender in contenders if wanted(contender.name, options)]


def wanted(name: str, options: argparse.Namespace) -> bool:
    return not options.only or name in options.only


def s2s_contender(name: str, model: Path, threads: int) -> Contender:
    numbers, arguments = VARIANTS[name]
    chosen = f"{ALL_VARIANTS} {arguments}".format(threads=threads).split()
    program = [sys.executable, "-m", "s2s_cli", "translate", "--model", str(model), *chosen]
    environment = {"OMP_NUM_THREADS": None, "PYTHONPATH": str(ROOT)}
    return Contender(
        name, "s2s", numbers, False, lambda source, output: Command(program, environment, source=source, output=output)
    )


def peer_contender(peer: Peer, model: Path) -> Contender:
    return Contender(
        peer.name, peer.title, peer.precision, True, lambda source, output: peer.translate(model, source, output)
    )


def trained(peer: Peer, folder: Path, seconds: float) -> Path:
    """The model in the folder, trained for about so many seconds if there is none. Raises UserError if that fails."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if peer.model(folder) is None:
        console.say(f"training {peer.title} for {seconds / 60:.0f} minutes in {folder}")
        run(
            peer.train(folder, SAVE_EVERY),
            folder / "log",
            lambda: time.perf_counter() - began >= seconds and peer.model(folder) is not None,
        )
    model = peer.model(folder)
    if model is None:
        raise UserError("its training left no model", where=folder)
    return model


# 2. Measuring


def measure_rounds(
    contenders: Sequence[Contender], workload: Workload, options: argparse.Namespace
) -> list[dict[str, Measured]]:
    """For each round what each contender reached; one that fails is left out of it."""
    tokenizer, references = workload.tokenizer(), list(islice(cycle(workload.references()), options.lines))
    folder = options.work.resolve() / "translate"
    folder.mkdir(parents=True, exist_ok=True)
    rounds: list[dict[str, Measured]] = []
    for index in range(options.rounds):
        rounds.append({})
        for contender in contenders:
            source = workload.side("test", "de") if contender.takes_pieces else workload.source_text
            try:
                measured = measure(contender, source, references, tokenizer, folder)
            except UserError as error:
                console.warn(f"{contender.name}: {error}")
                continue
            rounds[-1][contender.name] = measured
            console.say(
                f"round {index + 1}: {contender.name} {measured.tokens_per_second:,.0f} target tokens/s,"
                f" {measured.seconds:.1f} s, one line {measured.one_line:.2f} s"
            )
    return rounds


def measure(
    contender: Contender, source: Path, references: Sequence[str], tokenizer: Tokenizer, folder: Path
) -> Measured:
    """Translate the first line, then as many lines as there are references. Raises UserError if the program fails."""
    output, log = folder / f"{contender.name}.out", folder / f"{contender.name}.log"
    one_line = run(contender.translate(first_lines(source, 1, folder), output), log)
    whole = run(contender.translate(first_lines(source, len(references), folder), output), log)
    translations = output.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    if len(translations) != len(references):
        raise UserError(f"{len(translations)} translations of {len(references)} lines", where=output)
    if contender.takes_pieces:
        translations = [joined(line) for line in translations]
    tokens = sum(map(len, tokenizer.encode(translations)))
    bleu = sacrebleu.corpus_bleu(translations, [list(references)]).score
    peak = max(one_line.peak_bytes, whole.peak_bytes)
    return Measured(whole.seconds, one_line.seconds, tokens, len(references), bleu, peak)


def first_lines(source: Path, count: int, folder: Path) -> Path:
    """A file with the first lines of another, which begins anew where it has fewer."""
    path = folder / f"{source.name}.{count}"
    if not path.exists():
        with source.open(encoding="utf-8") as lines:
            write_lines(path, [line.rstrip("\n") for line in islice(cycle(lines), count)])
    return path


def joined(pieces: str) -> str:
    """The text of a line of pieces."""
    return pieces.replace(" ", "").replace(WORD_START, " ").strip()


# 3. Tables


def tables(contenders: Sequence[Contender], rounds: list[dict[str, Measured]]) -> str:
    """Speed, with how much faster each contender is than each of the other programs, and what it costs to run."""
    measured = {one.name: [results[one.name] for results in rounds if one.name in results] for one in contenders}
    present = [one for one in contenders if measured[one.name]]
    others = [one for one in present if one.takes_pieces]
    speed, cost = [], []
    for one in present:
        results, name = measured[one.name], [one.title, one.numbers]
        tokens = spread([result.tokens_per_second for result in results])
        sentences = spread([result.sentences / result.work for result in results])
        ratios = [spread(ratios_to(other.name, one.name, rounds), 1) for other in others]
        speed.append([*name, tokens, sentences, *ratios, f"{results[-1].bleu:.2f}"])
        seconds = spread([result.seconds for result in results], 1)
        one_line = f"{median(result.one_line for result in results):.2f}"
        peak = max(result.peak_bytes for result in results)
        cost.append([*name, seconds, one_line, f"{results[-1].tokens:,}", f"{peak >> 20:,} MiB"])
    program = ["program", "numbers"]
    faster = [f"× {other.title} {other.numbers}" for other in others]
    speeds = table([*program, "target tokens/s", "sentences/s", *faster, "BLEU"], speed)
    costs = table([*program, "s in all", "s for one sentence", "tokens written", "peak memory"], cost)
    return f"{speeds}\n\n{costs}"


def ratios_to(other: str, name: str, rounds: list[dict[str, Measured]]) -> list[float]:
    """In each round that has both, how many times as fast as the other one it is."""
    both = [one for one in rounds if name in one and other in one]
    return [one[name].tokens_per_second / one[other].tokens_per_second for one in both]


if __name__ == "__main__":
    main()
