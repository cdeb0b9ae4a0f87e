r"""What constraints cost: speed and fulfilment with random phrases of the references, and with forced beginnings.

    export S2S_DATA=/path/to/data
    s2s train recipes/multi30k-de-en.yaml
    python scripts/bench_constraints.py runs/multi30k-de-en $S2S_DATA/multi30k/test_2016_flickr.{de,en}.xz
    python scripts/bench_constraints.py MODEL SOURCE REFERENCE --engine fast --threads 2 --rounds 5

Each line demands 1 to 3 phrases of 1 to 3 words of its reference; or begins with half of its reference, cut at any
character; or avoids two words that the model would write. All kinds are translated in turn in one process, after a few
lines that warm it up, as many times as there are rounds. Seconds are those of the processor, of all threads, and the
median of the rounds; the speed is that against translating without demands. Fulfilment is counted in the text. The
table goes to stdout.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import sacrebleu

from s2s_cli import Request, Translator
from s2s_cli.data.corpora import read_lines
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.hygiene import clean_line

HEADER = "| lines with | CPU s | × plain speed | demands | met | BLEU |\n|---|---:|---:|---:|---:|---:|"


def main() -> None:
    options = _options()
    sources, references = (read(path)[: options.lines] for path in (options.source, options.reference))
    translator = Translator.load(
        options.model, engine=options.engine, threads=options.threads, shortlist=options.shortlist, device="cpu"
    )
    search = SearchOptions(beam=options.beam)
    plain = [translation.text for translation in translator.translate(sources, search)]
    kinds = {"nothing": [Request(source) for source in sources]}
    for most in (1, 2, 3):
        told = f"{most} phrase{'s' * (most > 1)}"
        kinds[told] = [
            Request(*pair) for pair in zip(sources, phrases_of(references, random.Random(most), most), strict=True)
        ]
    draw = random.Random(1)
    mixed = [phrases_of([reference], draw, draw.randint(1, 3))[0] for reference in references]
    kinds["1 to 3 phrases"] = [Request(*pair) for pair in zip(sources, mixed, strict=True)]
    pairs = list(zip(sources, references, strict=True))
    kinds["a prefix"] = [Request(source, prefix=reference[: len(reference) // 2]) for source, reference in pairs]
    spoilt = [sorted(set(re.findall(r"\w+", text))) for text in plain]
    kinds["2 words to avoid"] = [
        Request(source, avoid=tuple(draw.sample(words, min(2, len(words)))))
        for source, words in zip(sources, spoilt, strict=True)
    ]
    print(table(translator, kinds, references, search, options.rounds))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("source", type=Path)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--shortlist", action="store_true")
    return parser.parse_args()


def read(path: Path) -> list[str]:
    """The clean lines of a file."""
    return [clean_line(line) for line in read_lines(path)]


def phrases_of(references: Sequence[str], draw: random.Random, count: int) -> list[tuple[str, ...]]:
    """For each reference so many phrases of 1 to 3 words that stand in it, without punctuation at their ends, which
    share no word."""
    return [_phrases(reference.split(), draw, count) for reference in references]


def _phrases(words: list[str], draw: random.Random, count: int) -> tuple[str, ...]:
    found: list[str] = []
    free = [bool(re.fullmatch(r"[\w'-]*\w", word)) for word in words]
    for _ in range(50 * count):
        length = draw.randint(1, 3)
        begin = draw.randrange(max(1, len(words) - length + 1))
        places = range(begin, min(begin + length, len(words)))
        if len(found) < count and all(free[place] for place in places):
            found.append(" ".join(words[place] for place in places))
            for place in places:
                free[place] = False
    return tuple(found)


def table(
    translator: Translator,
    kinds: dict[str, list[Request]],
    references: Sequence[str],
    search: SearchOptions,
    rounds: int,
) -> str:
    """A line for each kind of demands."""
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    texts: dict[str, list[str]] = {}
    for requests in kinds.values():
        translator.translate(requests[:20], search)
    for _ in range(rounds):
        for kind, requests in kinds.items():
            begin = time.process_time()
            translations = translator.translate(requests, search)
            seconds[kind].append(time.process_time() - begin)
            texts[kind] = [translation.text for translation in translations]
    rows, plain = [HEADER], median(seconds["nothing"])
    for kind, requests in kinds.items():
        met = [
            is_met for request, text in zip(requests, texts[kind], strict=True) for is_met in fulfilled(request, text)
        ]
        share = f"{sum(met) / len(met):.2%}" if met else ""
        bleu = sacrebleu.corpus_bleu(texts[kind], [list(references)]).score
        took = median(seconds[kind])
        rows.append(f"| {kind} | {took:.2f} | {plain / took:.2f} | {len(met) or ''} | {share} | {bleu:.2f} |")
    return "\n".join(rows)


def fulfilled(request: Request, text: str) -> list[bool]:
    """Of each demand whether the text meets it."""
    met = [stands_in(phrase, text) for phrase in request.constraints]
    met += [not stands_in(phrase, text.lower() if phrase == phrase.lower() else text) for phrase in request.avoid]
    return met + [text.startswith(request.prefix)] * bool(request.prefix)


def stands_in(phrase: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(phrase)}(?!\w)", text) is not None


if __name__ == "__main__":
    main()
