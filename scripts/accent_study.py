"""How well accents are restored: recipes/family/accents.yaml on its unseen test clauses, against doing nothing.

    python scripts/accent_study.py runs/accents

characters: those of the reference that stand at the same place. accentable letters: the same for the letters that can
bear an accent in Spanish alone (a, e, i, o, u, n). clauses: those without a fault. same length: as long as the input.
"""

from __future__ import annotations

import argparse
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from s2s_cli.data.prepared import open_prepared
from s2s_cli.inference.translator import Translator

ACCENTABLE = frozenset("aeiounAEIOUN")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run directory of the recipe")
    parser.add_argument("--test", default="test", help="name of the test set")
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    sources, references = open_prepared(options.run).test_texts(options.test)
    translations = Translator.load(options.run, threads=options.threads).translate(sources)
    systems = {"do nothing": sources, "model": [translation.text for translation in translations]}
    columns = ["characters", "accentable letters", "clauses", "same length"]
    print(f"{len(sources):,} clauses", *columns, sep="  ")
    for name, outputs in systems.items():
        shares = measure(sources, outputs, references)
        cells = [f"{100 * share:>{len(column) - 2}.2f} %" for column, share in zip(columns, shares, strict=True)]
        print(f"{name:<{len(f'{len(sources):,} clauses')}}", *cells, sep="  ")


def measure(sources: Sequence[str], outputs: Sequence[str], references: Sequence[str]) -> list[float]:
    """The shares of right characters, right accentable letters, right lines, and lines as long as their source."""
    places = [place for pair in zip(outputs, references, strict=True) for place in _places(*pair)]
    accentable = [(ours, right) for ours, right in places if base_letter(right) in ACCENTABLE]
    return [
        *(sum(ours == right for ours, right in part) / len(part) for part in (places, accentable)),
        sum(map(str.__eq__, outputs, references)) / len(references),
        sum(len(output) == len(source) for output, source in zip(outputs, sources, strict=True)) / len(sources),
    ]


def base_letter(character: str) -> str:
    """The letter without its accent."""
    return unicodedata.normalize("NFD", character)[0]


def _places(output: str, reference: str) -> Iterator[tuple[str, str]]:
    """Each character of the reference after what stands at its place in the output, if anything does."""
    yield from zip(output.ljust(len(reference), "\0"), reference, strict=False)


if __name__ == "__main__":
    main()
