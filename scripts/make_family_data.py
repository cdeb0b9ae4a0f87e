"""The text sets of recipes/family/ that are not translation, made of the Bible verses in recipes/data/bible-es-en/.

    python scripts/make_family_data.py [--output recipes/data/family]

books/    book, English verse, reference. Ten books, split by chapter, since every book must be in every split; a verse
          that stands anywhere else, case and punctuation aside, is left out.
accents/  Spanish clause without its accents, the same clause with them. Split by book; no clause stands in two splits.

The same verses give the same files.
"""

from __future__ import annotations

import argparse
import lzma
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from s2s_cli.data.cleaning import sentence_key
from s2s_cli.text.files import read_lines

DATA = Path(__file__).parents[1] / "recipes" / "data"

NAMES = {
    "Gen": "Genesis",
    "Exod": "Exodus",
    "Lev": "Leviticus",
    "Job": "Job",
    "Ps": "Psalms",
    "Prov": "Proverbs",
    "Isa": "Isaiah",
    "Ezek": "Ezekiel",
    "Matt": "Matthew",
    "Acts": "Acts",
}
"""Books of `books/`: long ones, one of each pair that tells the same story."""

CHAPTER_SPLITS = {5: "dev", 0: "test"}
"""Split by the last digit of the chapter's number; the others are for training."""

BOOK_SPLITS = dict.fromkeys(("Ezra", "Gal", "Phil"), "dev") | dict.fromkeys(
    ("Ruth", "Esth", "Dan", "Jonah", "Jas"), "test"
)
"""Split of `accents/` by book; the others are for training."""

CLAUSE_END = re.compile(r"(?<=[.;:?!])\s+")
SHORTEST, LONGEST = 12, 60
"""Characters of a clause."""

Rows = dict[str, list[tuple[str, ...]]]
"""Lines of each split, as columns."""


class Verse(NamedTuple):
    book: str
    chapter: int
    reference: str
    english: str
    spanish: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verses", type=Path, default=DATA / "bible-es-en" / "web-rv1909.tsv.xz")
    parser.add_argument("--output", type=Path, default=DATA / "family")
    options = parser.parse_args()
    verses = list(read_verses(options.verses))
    for name, rows in {"books": book_rows(verses), "accents": accent_rows(verses)}.items():
        write(rows, options.output / name)
        print(name, *(f"{split} {len(lines):,}" for split, lines in rows.items()))


def read_verses(path: Path) -> Iterator[Verse]:
    for line in read_lines(path):
        reference, english, spanish = line.split("\t")
        book, chapter, _ = reference.split(".")
        yield Verse(book, int(chapter), reference, english, spanish)


def book_rows(verses: Iterable[Verse]) -> Rows:
    """The rows of `books/`."""
    keyed = [(sentence_key(verse.english), verse) for verse in verses]
    occurrences = Counter(key for key, _ in keyed)
    rows: Rows = {"train": [], "dev": [], "test": []}
    for key, verse in keyed:
        if verse.book in NAMES and occurrences[key] == 1:
            split = CHAPTER_SPLITS.get(verse.chapter % 10, "train")
            rows[split].append((NAMES[verse.book], verse.english, verse.reference))
    return rows


def accent_rows(verses: Iterable[Verse]) -> Rows:
    """The rows of `accents/`. Of equal clauses the first one counts, and those of test and dev go before training's."""
    clauses: dict[str, list[str]] = {"test": [], "dev": [], "train": []}
    for verse in verses:
        found = CLAUSE_END.split(unicodedata.normalize("NFC", verse.spanish))
        split = BOOK_SPLITS.get(verse.book, "train")
        clauses[split].extend(clause for clause in found if SHORTEST <= len(clause) <= LONGEST)
    rows: Rows = {"train": [], "dev": [], "test": []}
    seen = set()
    for split, texts in clauses.items():
        for text in texts:
            plain = without_accents(text)
            if (key := sentence_key(plain)) not in seen:
                seen.add(key)
                rows[split].append((plain, text))
    return rows


def without_accents(text: str) -> str:
    """Letters without their marks, ñ and ü among them: as many characters as in `text`, if that is in NFC."""
    return "".join(mark for mark in unicodedata.normalize("NFD", text) if not unicodedata.combining(mark))


def write(rows: Rows, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for split, lines in rows.items():
        text = "".join("\t".join(columns) + "\n" for columns in lines)
        (folder / f"{split}.tsv.xz").write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))


if __name__ == "__main__":
    main()
