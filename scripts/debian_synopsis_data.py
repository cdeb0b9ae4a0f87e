"""The data of recipes/debian-synopsis.yaml, made of a Debian system's own package lists.

    apt-get update
    python scripts/debian_synopsis_data.py --output data/debian-synopsis
    S2S_DATA=data s2s train recipes/debian-synopsis.yaml

Without FILE it reads the English descriptions that apt keeps in /var/lib/apt/lists. Where there are none (as in most
containers), first let apt fetch them: Acquire::Languages "en"; in a file of /etc/apt/apt.conf.d.

A line is the long description of a package, as one paragraph, and its synopsis. Of packages with the same description
or the same synopsis, case and punctuation aside, the first by name stays, so that nothing stands in two splits. The
split follows from the name of the package alone. The same lists give the same files.
"""

from __future__ import annotations

import argparse
import lzma
import subprocess
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from s2s_cli.data.cleaning import sentence_key
from s2s_cli.text.files import read_lines
from s2s_cli.text.hygiene import clean_line

LISTS = Path("/var/lib/apt/lists")
READER = "/usr/lib/apt/apt-helper"  # reads what apt keeps compressed, in whatever way

DESCRIPTION_WORDS, SYNOPSIS_WORDS = range(15, 121), range(3, 16)
"""Shorter ones say nothing, longer ones are rare."""

BUCKETS = 50
"""One of them is dev and one is test: some 1,000 packages of Debian 12 each."""


class Package(NamedTuple):
    name: str
    description: str
    synopsis: str

    def split(self) -> str:
        bucket = int.from_bytes(sha256(self.name.encode()).digest()[:8], "big") % BUCKETS
        return {0: "dev", 1: "test"}.get(bucket, "train")


def packages(lines: Iterable[str]) -> Iterator[Package]:
    """Those of a list with a long description: paragraphs of fields, in the form of `deb822(5)`."""
    fields: dict[str, list[str]] = {}
    key = ""
    for line in [*lines, ""]:
        if not line.strip():
            name, (synopsis, *text) = fields.get("Package", [""])[0], fields.get("Description-en", [""])
            if name and text:
                paragraph = " ".join(part for part in text if part != ".")
                yield Package(name, clean_line(paragraph), clean_line(synopsis))
            fields = {}
        elif line[0].isspace():
            fields[key].append(line.strip())
        else:
            key, _, value = line.partition(":")
            key = "Description-en" if key == "Description" else key
            fields[key] = [value.strip()]


def chosen(found: Iterable[Package]) -> dict[str, list[Package]]:
    """The packages of each split, in the order of their names."""
    splits: dict[str, list[Package]] = {"train": [], "dev": [], "test": []}
    known = set[tuple[str, bytes]]()
    for package in sorted(set(found)):
        keys = {(side, sentence_key(getattr(package, side))) for side in ("description", "synopsis")}
        lengths = len(package.description.split()), len(package.synopsis.split())
        if lengths[0] in DESCRIPTION_WORDS and lengths[1] in SYNOPSIS_WORDS and not keys & known:
            known |= keys
            splits[package.split()].append(package)
    return splits


def write(splits: dict[str, list[Package]], folder: Path) -> None:
    """One file for each split: description and synopsis, separated by a tab."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, members in splits.items():
        with lzma.open(folder / f"{split}.tsv.xz", "wt", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{package.description}\t{package.synopsis}\n" for package in members)
        print(f"{split}: {len(members):,} packages")


def lines_of(path: Path) -> Iterator[str]:
    """A list that is plain, or compressed by gzip or xz, or as apt keeps it."""
    if path.suffix in (".lz4", ".zst", ".bz2"):
        done = subprocess.run([READER, "cat-file", str(path)], check=True, stdout=subprocess.PIPE)
        return iter(done.stdout.decode().splitlines())
    return read_lines(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="Translation-en or Packages files of apt")
    parser.add_argument("--output", type=Path, default=Path("data/debian-synopsis"), metavar="DIR")
    options = parser.parse_args()
    files = options.files or sorted(path for kind in ("Translation-en", "Packages") for path in LISTS.glob(f"*{kind}*"))
    splits = chosen(package for path in files for package in packages(lines_of(path)))
    if not splits["train"]:
        parser.error("no package has a long description in English: let apt fetch Translation-en, or name its file")
    write(splits, options.output)


if __name__ == "__main__":
    main()
