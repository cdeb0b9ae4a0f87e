r"""What a glossary brings and costs: terms that are written, BLEU, and speed.

    export S2S_DATA=/path/to/data
    s2s train recipes/multi30k-de-en.yaml
    D=$S2S_DATA/multi30k; T=$D/test_2016_flickr
    python scripts/bench_glossary.py runs/multi30k-de-en --train $D/train.{de,en}.xz --test $T.{de,en}.xz

Terms are German nouns of the test set, each with the word that the references have for it most often. Which word it is
in a line is found by Dice's coefficient over the lines of the training data, in both directions. So a glossary knows of
the references; that is what it is for, but no BLEU to compare with others. A second glossary has only those terms that
the model alone writes in less than half of their sentences, and a third those in at most three lines of the training
data. `--way inline` tells a model that was trained with `data.terms` of them, instead of forcing them, and `--way
both` forces those that it leaves out.

Both are translated with in one process, after a few lines that warm it up, as many times as there are rounds. Seconds
are those of the processor, of all threads, and the median of the rounds. Success is that of `s2s evaluate --glossary`.
The table goes to stdout, the glossaries to files if --write says so.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import sacrebleu

from s2s_cli import Translator
from s2s_cli.data.corpora import read_lines
from s2s_cli.evaluation.terminology import MISSING, terminology, translations_of_terms
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.glossary import Glossary, Row
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.words import words_of

MOST_LINES = 3  # of training, with a rare term
LEAST = 0.2  # Dice's coefficient of a term and its translation
HEADER = (
    "| terms | in the text | written without | with | BLEU without | with | CPU s without | with | speed |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def main() -> None:
    options = _options()
    train, test = ([read(path) for path in pair] for pair in (options.train, options.test))
    sources, references = (lines[: options.lines] for lines in test)
    translator = Translator.load(options.model, engine=options.engine, threads=options.threads, device="cpu")
    search = SearchOptions(beam=options.beam)
    plain = [translation.text for translation in translator.translate(sources, search)]
    every = Glossary(Row(*pair) for pair in nouns(train, sources, references))
    glossaries = {"all": every, "those that the model seldom writes": Glossary(seldom(every, sources, plain))}
    glossaries["rare in training"] = Glossary(rare(every, train[0]))
    print(HEADER)
    for name, glossary in glossaries.items():
        print(row(name, glossary, translator, sources, references, search, options), flush=True)
        if options.write:
            path = options.write / f"{name.split()[0]}.tsv"
            path.write_text("".join(f"{term.source}\t{term.targets[0]}\n" for term in glossary.terms))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--train", type=Path, nargs=2, required=True, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--test", type=Path, nargs=2, required=True, metavar=("SOURCE", "TARGET"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--lines", type=int, default=1000)
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--way", choices=("forced", "inline", "both"), default="forced")
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    return parser.parse_args()


def read(path: Path) -> list[str]:
    """The clean lines of a file."""
    return [clean_line(line) for line in read_lines(path)]


def nouns(train: Sequence[Sequence[str]], sources: Sequence[str], references: Sequence[str]) -> list[tuple[str, str]]:
    """Words of the sources with a capital that do not begin their line, each with what it is most often in the
    references."""
    pairs, left, right = Counter[tuple[str, str]](), Counter[str](), Counter[str]()
    for source, target in zip(*train, strict=True):
        words, others = set(tokens(source)), set(tokens(target))
        left.update(words)
        right.update(others)
        pairs.update((word, other) for word in words if word[:1].isupper() for other in others)
    found: dict[str, Counter[str]] = {}
    for source, reference in zip(sources, references, strict=True):
        words, others = tokens(source), [each for each in tokens(reference) if each.isalpha()]
        dice = {(a, b): 2 * pairs[a, b] / max(1, left[a] + right[b]) for a in words for b in others}
        for word in dict.fromkeys(words[1:]):
            best = max(others, key=lambda other: dice[word, other], default="")
            mutual = best and max(words, key=lambda each: dice[each, best]) == word
            if word[:1].isupper() and mutual and dice[word, best] >= LEAST:
                found.setdefault(word, Counter())[best] += 1
    return [(word, counts.most_common(1)[0][0]) for word, counts in found.items()]


def tokens(text: str) -> list[str]:
    return [word.text for word in words_of(text)]


def seldom(glossary: Glossary, sources: Sequence[str], texts: Sequence[str]) -> Iterable[Row]:
    """The terms that stand in the translations of less than half of the times they occur."""
    uses = translations_of_terms(glossary, sources, texts)
    for term in glossary.terms:
        counts = uses.get(term.source, Counter())
        if counts[MISSING] > counts.total() / 2:
            yield Row(term.source, term.targets[0])


def rare(glossary: Glossary, train: Sequence[str]) -> Iterable[Row]:
    """The terms that are a word of at most so many lines of the training data."""
    lines = Counter(word for line in train for word in set(tokens(line)))
    return (Row(term.source, term.targets[0]) for term in glossary.terms if lines[term.source] <= MOST_LINES)


def use(glossary: Glossary | None, translator: Translator, way: str) -> None:
    """Have the translator write the terms of a glossary; None: of none any more."""
    if glossary and way != "inline":
        translator.reader.check_terms(glossary)
    forced, inline = (glossary if way in (own, "both") else None for own in ("forced", "inline"))
    translator.reader = replace(translator.reader, forced=forced, inline=inline)


def row(
    name: str,
    glossary: Glossary,
    translator: Translator,
    sources: Sequence[str],
    references: Sequence[str],
    search: SearchOptions,
    options: argparse.Namespace,
) -> str:
    """A line of the table. Each round translates with the terms, and without them."""
    seconds: dict[str, list[float]] = {"without": [], "with": []}
    texts: dict[str, list[str]] = {}
    for _ in range(options.rounds):
        for way, terms in (("without", None), ("with", glossary)):
            use(terms, translator, options.way)
            translator.translate(sources[:20], search)
            begin = time.process_time()
            texts[way] = [translation.text for translation in translator.translate(sources, search)]
            seconds[way].append(time.process_time() - begin)
    use(None, translator, options.way)
    success = {way: terminology(glossary, sources, texts[way])[0] for way in texts}
    bleu = {way: sacrebleu.corpus_bleu(texts[way], [list(references)]).score for way in texts}
    took = {way: median(each) for way, each in seconds.items()}
    occurrences = sum(len(glossary.find(source)) for source in sources)
    cells = [f"{name}: {len(glossary.terms)}", str(occurrences)]
    cells += [f"{success[way].value:.1f} %" for way in success] + [f"{bleu[way]:.2f}" for way in bleu]
    cells += [f"{took[way]:.2f}" for way in took] + [f"{took['without'] / took['with']:.2f} ×"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
