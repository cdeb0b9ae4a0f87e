"""Translation memory: what was translated before is taken from there, and what is like it is shown.

All of a memory is held: its texts, and 32 bytes for each of them. The similarity of two texts is 1 − d / n, where d is
their Levenshtein distance in characters, and n the length of the longer one.

Shapes: N entries, sorted by length; X classes of characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from s2s_cli import compression, console
from s2s_cli.data.corpora import CorpusFile, ParallelCorpus
from s2s_cli.errors import DataError, UsageError
from s2s_cli.inference.translation import Match
from s2s_cli.text.hygiene import clean_line
from s2s_cli.text.languages import Languages

FORMATS = {".tmx": "tmx", ".tsv": "tsv"}
BLOCK = 4096  # entries that are indexed at once
CLASSES = 32  # of characters, by their code
FIRST = 64  # candidates that are compared before the others, of which most are then no candidates any more
SLACK = 1e-9  # of similarities, which are rounded


class TranslationMemory:
    """Sources with their translations. Of several translations of a source the first counts.

    >>> TranslationMemory([("Ein  Hund.", "A dog.")]).exact("Ein Hund.").target
    'A dog.'
    """

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Sources are compared as `clean_line` makes them: white space counts as one space, characters are composed.
        Pairs with a blank side are left out."""
        self._targets: dict[str, str] = {}
        for source, target in pairs:
            key, text = clean_line(source), clean_line(target)
            if key and text:
                self._targets.setdefault(key, text)

    @classmethod
    def read(cls, paths: Sequence[Path], languages: Languages) -> TranslationMemory:
        """From TMX files, whose texts in the two languages are read, and from TSV files with source and translation in
        the first two columns; plain, `.gz`, `.xz` or `.zst`.

        Raises UsageError for a file of another kind, DataError with file:line for one that is not sound.
        """
        memory = cls(pair for path in paths for pair in _corpus(path, languages).pairs())
        if not len(memory):
            console.warn(f"no translation is in {', '.join(map(str, paths))}")
        return memory

    def __len__(self) -> int:
        return len(self._targets)

    def exact(self, text: str) -> Match | None:
        """The entry of this text."""
        key = clean_line(text)
        return Match(key, self._targets[key], 1.0) if key in self._targets else None

    def fuzzy(self, text: str, least: float) -> Match | None:
        """The entry that is most like a text, if it is so to the degree of `least`, which is above 0. Of several, the
        one whose characters are most alike, then the shortest, then the first."""
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import extractOne

        key = clean_line(text)
        entries, bounds = self._index.candidates(key, least)
        best: Match | None = None
        for first, end in ((0, FIRST), (FIRST, len(entries))):
            if best is not None:  # what cannot be more similar is not compared
                least = best.similarity
                end = first + int(np.count_nonzero(bounds[first:] > least - SLACK))
            sources = [self._index.sources[entry] for entry in entries[first:end].tolist()]
            found = extractOne(key, sources, scorer=Levenshtein.normalized_similarity, score_cutoff=least)
            if found and (best is None or found[1] > best.similarity):
                best = Match(found[0], self._targets[found[0]], found[1])
        return best

    @cached_property
    def _index(self) -> _Index:
        return _Index(list(self._targets))


class _Index:
    """Finds the entries that may be like a text, by bounds on the distance that cost less than the distance.

    A distance of d changes the length by at most d. It also adds at most d characters of whatever classes, and removes
    at most d: so with the sum of differences D of the numbers of characters of each class, (D + difference of lengths)
    / 2 is at most d.
    """

    def __init__(self, sources: list[str]) -> None:
        self.sources = sorted(sources, key=len)  # stable: of equally long ones the first is first
        self._lengths_N = np.array([len(source) for source in self.sources], np.int32)
        blocks = (_counts(self.sources[first : first + BLOCK]) for first in range(0, len(sources), BLOCK))
        self._counts_XN = np.concatenate([np.zeros((0, CLASSES), np.uint8), *blocks]).T.copy()

    def candidates(self, text: str, least: float) -> tuple[np.ndarray, np.ndarray]:
        """The entries that may be similar to this degree, int64, and to which degree they are at most, falling."""
        if not text or not self.sources:
            return np.zeros(0, np.int64), np.zeros(0)
        # More entries at the borders do no harm, so nothing is lost by rounding.
        first = self._lengths_N.searchsorted(int(len(text) * least))
        end = self._lengths_N.searchsorted(len(text) / least + 1, side="right")
        lengths_N = self._lengths_N[first:end]
        differences_N = np.zeros(len(lengths_N), np.uint16)  # of 32 numbers below 256
        for counts_N, count in zip(self._counts_XN[:, first:end], _counts([text])[0], strict=True):
            differences_N += np.maximum(counts_N, count) - np.minimum(counts_N, count)
        distances_N = (differences_N + np.abs(lengths_N - len(text))) / 2
        bounds_N = 1.0 - distances_N / np.maximum(lengths_N, len(text))
        found = np.flatnonzero(bounds_N >= least - SLACK)
        found = found[(-bounds_N[found]).argsort(kind="stable")]
        return first + found, bounds_N[found]


def _counts(texts: Sequence[str]) -> np.ndarray:
    """The number of characters of each class in each text, at most 255: uint8 [N, X]. (Cutting brings two numbers no
    further apart, so bounds stay bounds.)"""
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    counts = np.bincount(rows * CLASSES + codes % CLASSES, minlength=len(texts) * CLASSES)
    return np.minimum(counts, 255).astype(np.uint8).reshape(len(texts), CLASSES)


@dataclass
class Lookup:
    """What is asked of a memory."""

    memory: TranslationMemory
    fuzzy: float | None = None
    """Least similarity of an entry that is shown where there is no exact one; None: none is looked for."""

    def __post_init__(self) -> None:
        """Raises UsageError if entries that are alike are wanted and rapidfuzz is missing."""
        if self.fuzzy is None:
            return
        if not 0.0 < self.fuzzy <= 1.0:
            raise UsageError(f"a similarity above 0 and at most 1, not {self.fuzzy}", where="--fuzzy")
        if self.fuzzy == 1.0:  # every entry that is as similar as that is exact
            self.fuzzy = None
            return
        try:
            import rapidfuzz  # noqa: F401  # asked for once, before any work
        except ImportError as error:
            hint = "pip install 's2s-cli[memory]', or --fuzzy 1 for exact matches only"
            raise UsageError("similar texts need rapidfuzz", where="--memory", hint=hint) from error

    def match(self, text: str) -> Match | None:
        """The exact entry, else the most similar one."""
        found = self.memory.exact(text)
        if found is None and self.fuzzy is not None:
            found = self.memory.fuzzy(text, self.fuzzy)
        return found


def _corpus(path: Path, languages: Languages) -> ParallelCorpus:
    form = FORMATS.get(compression.content_suffix(path))
    if form is None:
        raise UsageError("a translation memory is a .tmx or a .tsv file", where=path, hint="rename or convert it")
    if form == "tmx" and not all(languages):
        raise DataError("the model does not say its languages, so the texts of a TMX are unknown", where=path)
    return ParallelCorpus(path.name, {form: CorpusFile(str(path), path, None)}, languages=languages)
