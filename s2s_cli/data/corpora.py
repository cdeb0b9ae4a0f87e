"""Parallel corpora: locating their files and reading their pairs of lines.

Files are read as streams, plain or compressed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from s2s_cli.data import po, records, xml_pairs
from s2s_cli.data.download import download, is_address
from s2s_cli.errors import DataError, UsageError
from s2s_cli.forms import is_unicode
from s2s_cli.recipe import schema
from s2s_cli.text.files import read_lines
from s2s_cli.text.languages import UNKNOWN, Languages

Pair = tuple[str, str]
"""The texts of both sides."""


@dataclass(frozen=True)
class CorpusFile:
    """One file of a corpus."""

    given: str
    """As the recipe names it."""
    path: Path
    sha256: str | None
    """The SHA-256 that the recipe expects, if any."""


@dataclass(frozen=True)
class ParallelCorpus:
    """A corpus whose files were found: two line-aligned files, or one file of pairs."""

    name: str
    files: dict[str, CorpusFile]
    """By role: `source` and `target`, or the format of the file of pairs, such as `tsv`."""
    columns: tuple[int, int] = (1, 2)
    """Of `tsv`, counted from 1."""
    fields: tuple[str, str] = ("source", "target")
    """Of `jsonl` and `parquet`."""
    languages: Languages = UNKNOWN
    """Of `tmx`, `xliff` and `po`: which of their texts are read."""
    made_of: dict[str, Any] | None = None
    """Of a corpus that a model wrote: from what, and how."""
    stands_for: int | None = None
    """Of a sample of a corpus that is yet to be written: the number of all its lines."""

    def pairs(self) -> Iterator[Pair]:
        """Source and target line of each pair, as they stand in the files; texts of several lines are made one.

        Raises DataError if the sides differ in length, a line is not UTF-8, a column is missing, or an archive is
        damaged; each with its file and line. Other formats raise their own.
        """
        if "source" in self.files:
            return _aligned(self.files["source"].path, self.files["target"].path)
        ((form, file),) = self.files.items()
        if form == "tsv":
            return _columns(file.path, self.columns)
        return ((_one_line(source), _one_line(target)) for source, target in FORMATS[form](file.path, self))


Read = Callable[[Path, ParallelCorpus], Iterator[Pair]]

FORMATS: Mapping[str, Read] = {
    "tmx": lambda path, corpus: xml_pairs.read_tmx(path, corpus.languages),
    "xliff": lambda path, corpus: xml_pairs.read_xliff(path, corpus.languages),
    "po": lambda path, corpus: po.read_po(path, corpus.languages),
    "jsonl": lambda path, corpus: records.read_jsonl(path, corpus.fields),
    "parquet": lambda path, corpus: records.read_parquet(path, corpus.fields),
}
"""Files of pairs that are not lines, by their keys in a recipe."""


def _one_line(text: str) -> str:
    return " ".join(text.split())


@dataclass(frozen=True)
class TextLines:
    """The lines of a file that was found, or of one of its columns."""

    file: CorpusFile
    column: int | None
    """Counted from 1; None for whole lines."""

    @property
    def files(self) -> dict[str, CorpusFile]:
        return {"lines": self.file}

    def read(self) -> Iterator[str]:
        """Raises DataError as `ParallelCorpus.pairs` does."""
        if self.column is None:
            return read_lines(self.file.path)
        return (first for first, _ in _columns(self.file.path, (self.column, self.column)))


def folders_of(named: Sequence[str], recipe_dir: Path) -> list[Path]:
    """Where relative paths of corpora are looked for, in order.

    named: `data.folders` of the recipe, which lies in `recipe_dir`.
    """
    return [*(recipe_dir / folder for folder in named or [""]), Path(os.environ.get("S2S_DATA") or "data")]


def model_folder(given: str, folders: Sequence[Path]) -> Path:
    """Where a model lies that a recipe names: in the working directory, or in the first of `folders` that has it."""
    places = [Path(given), *(folder / given for folder in folders)]
    return next(filter(Path.is_dir, places), places[0])


def as_kept(recipe: schema.Recipe, recipe_dir: Path, run: Path) -> schema.Recipe:
    """The recipe as its run keeps it: with the folders in which its corpora, and the model that it begins with, were
    found, relative to the run.

    Paths and addresses stay as they are given, and a folder that `S2S_DATA` names is not written down, so that the run
    can be copied to a machine where `S2S_DATA` names another. Folders are relative if they and the run lie in the
    working directory, which can then be moved as a whole, and absolute otherwise.
    """
    here, run = Path.cwd(), run.resolve()
    if recipe_dir.resolve() == run:
        return recipe
    paths = [path for path in recipe.data.files() if not is_address(path)]
    folders = folders_of(recipe.data.folders, recipe_dir)[: -1 if os.environ.get("S2S_DATA") else None]
    models = [*recipe.data.models(), *([recipe.init.from_] if recipe.init else [])]
    if models:
        paths, folders = [*paths, *models], [*folders, Path()]
    relative = [path for path in paths if not Path(path).is_absolute()]
    used = {folder.resolve(): None for folder in folders if any((folder / path).exists() for path in relative)}
    for folder in used:
        if not is_unicode(str(folder)):
            hint = "rename the folder, or start from within it"
            raise UsageError("the run's recipe cannot name a folder whose name is not UTF-8", where=folder, hint=hint)
    return recipe.with_folders(
        [
            os.path.relpath(folder, run) if folder.is_relative_to(here) and run.is_relative_to(here) else str(folder)
            for folder in used
        ]
    )


def locate(corpus: schema.Corpus, folders: Sequence[Path], languages: schema.Languages | None = None) -> ParallelCorpus:
    """Find the files of a corpus in the first of `folders` that has them, or download them.

    languages: of the recipe, for files that have texts in several. Raises DataError if one is not found.
    """
    files: dict[str, CorpusFile] = {
        role: _file(given, folders, _expected_sha256(corpus, role)) for role, given in corpus.paths.items()
    }
    stem = next(iter(files.values())).path.name.partition(".")[0]
    codes = Languages(languages.source, languages.target) if languages else UNKNOWN
    return ParallelCorpus(corpus.name or stem, files, corpus.columns, corpus.fields, codes)


def locate_mono(corpus: schema.TrainCorpus, folders: Sequence[Path]) -> TextLines:
    """The same for the side of a corpus whose other side a model writes."""
    assert corpus.mono is not None
    return TextLines(_file(corpus.mono, folders, _expected_sha256(corpus, "mono")), corpus.column)


def locate_lines(lines: schema.Lines, folders: Sequence[Path]) -> TextLines:
    """The same for a file of lines."""
    return TextLines(_file(lines.file, folders, lines.sha256), lines.column)


def _expected_sha256(corpus: schema.Corpus, role: schema.Role) -> str | None:
    if not isinstance(corpus.sha256, str):
        return (corpus.sha256 or {}).get(role)
    if role in ("source", "target"):
        raise UsageError("one `sha256` for two files", where=corpus.source, hint="give {source: ..., target: ...}")
    return corpus.sha256


def _file(given: str, folders: Sequence[Path], sha256: str | None) -> CorpusFile:
    if is_address(given):
        if sha256 is None:
            raise UsageError("an address needs the `sha256` of its file", where=given)
        return CorpusFile(given, download(given, sha256), sha256)
    for folder in folders:
        if (folder / given).is_file():
            return CorpusFile(given, folder / given, sha256)
    places = "no such file" if Path(given).is_absolute() else f"neither in {' nor in '.join(map(str, folders))}"
    hint = "set S2S_DATA to the folder of the corpora, or correct the path in the recipe"
    raise DataError(f"corpus file not found: {places}", where=given, hint=hint)


def _aligned(source: Path, target: Path) -> Iterator[Pair]:
    """Pairs of two files with equally many lines."""
    lines = zip_longest(read_lines(source), read_lines(target))
    for count, (source_line, target_line) in enumerate(lines):
        if source_line is None or target_line is None:
            longer = count + 1 + sum(1 for _ in lines)
            counts = (count, longer) if source_line is None else (longer, count)
            raise DataError(
                f"the two sides differ in length: {counts[0]:,} and {counts[1]:,} lines",
                where=f"{source}, {target}",
                hint="line n of one file must be the translation of line n of the other",
            )
        yield source_line, target_line


def _columns(path: Path, columns: tuple[int, int]) -> Iterator[Pair]:
    """Pairs of two columns (counted from 1) of one file. A blank line is a pair of blanks."""
    source, target = columns[0] - 1, columns[1] - 1
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split("\t")
        if len(cells) > max(source, target):
            yield cells[source], cells[target]
        elif not line.strip():
            yield "", ""
        else:
            found = f"{len(cells)} column{'s' * (len(cells) != 1)}"
            raise DataError(f"there is no column {max(columns)}, only {found}", where=f"{path}:{number}")
