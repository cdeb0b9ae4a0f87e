"""The keys of what a model learns from: languages, corpora and how they are cleaned."""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from s2s_cli.compression import content_suffix
from s2s_cli.forms import above, at_least, at_most, below, matching, one_or_more
from s2s_cli.recipe.schema.section import Positive, Probability, Section, Seed, Side


class Languages(Section):
    source: str
    """Language code of the source side (ISO 639-1: fr, zh, ...)."""
    target: str
    """Language code of the target side; it also selects the tokenizer of sacreBLEU."""


Format = Literal["tsv", "tmx", "xliff", "po", "jsonl", "parquet"]
Role = Literal["source", "target", "mono"] | Format
Sha256 = Annotated[str, matching("[0-9a-fA-F]{64}", "a SHA-256 has 64 hexadecimal digits")]


class Corpus(Section):
    """One parallel corpus: two line-aligned files, or one file of pairs; `.gz`, `.xz`, `.zst`, or plain, as Parquet is.

    A path is looked for in `data.folders`, then in the folder `S2S_DATA` (default `./data`). A path may be a `https://`
    address, which then needs its SHA-256 and is downloaded once.
    """

    name: str | None = None
    """Name of this corpus in reports; by default the stem of its file."""
    source: str | None = None
    """File of the source side (with `target`)."""
    target: str | None = None
    """File of the target side (with `source`)."""
    tsv: str | None = None
    """One file with a pair a line, columns separated by tabs (instead of `source` and `target`)."""
    columns: tuple[Positive, Positive] = (1, 2)
    """Source and target column of `tsv`, counted from 1."""
    tmx: str | None = None
    """A translation memory: its texts in the languages of the recipe."""
    xliff: str | None = None
    """XLIFF 1.2 or 2, in either direction: what is translated and does not wait for a translator."""
    po: str | None = None
    """A PO file, in either direction: what is neither fuzzy nor obsolete."""
    jsonl: str | None = None
    """A JSON object a line, with the two `fields`."""
    parquet: str | None = None
    """A Parquet file with the two `fields` as columns; needs `s2s-cli[parquet]`."""
    fields: tuple[str, str] = ("source", "target")
    """Source and target of `jsonl` and `parquet`; `translation.de` is the field `de` of the field `translation`."""
    sha256: Sha256 | dict[Role, Sha256] | None = None
    """Expected SHA-256 of the file, or of each file; required for addresses."""

    @property
    def paths(self) -> dict[Role, str]:
        """The files as they are given: `source` and `target`, or that of pairs by its format."""
        roles: tuple[Role, ...] = ("source", "target", *get_args(Format))
        return {role: path for role in roles if (path := getattr(self, role)) is not None}

    def check(self) -> None:
        formats = [name for name in get_args(Format) if getattr(self, name) is not None]
        if len(formats) > 1 or bool(formats) == (self.source is not None or self.target is not None):
            raise ValueError(
                "give either `source` and `target`, or one of " + ", ".join(f"`{f}`" for f in get_args(Format))
            )
        if not formats and (self.source is None or self.target is None):
            raise ValueError("`source` and `target` go together")
        if self.fields != ("source", "target") and formats not in (["jsonl"], ["parquet"]):
            raise ValueError("`fields` are of `jsonl` and `parquet`")
        if self.columns != (1, 2) and formats != ["tsv"]:
            raise ValueError("`columns` are of `tsv`")
        self._check_sha256()

    def _check_sha256(self) -> None:
        """Raise ValueError for a SHA-256 that nothing would be compared with."""
        if isinstance(self.sha256, dict) and (extra := self.sha256.keys() - self.paths.keys()):
            raise ValueError(f"`sha256.{min(extra)}` is of no file: there is {', '.join(self.paths)}")


class Sample(Section):
    """Drawing from the distribution of a model, instead of searching for what is most probable."""

    temperature: Annotated[float, at_least(1e-30)] = 1.0
    """Log-probabilities are divided by it: below 1 sharper, above 1 flatter."""
    top_k: Positive | None = None
    """Draw among the k most probable symbols only. `null`: among all."""
    top_p: Annotated[float, above(0.0), at_most(1.0)] = 1.0
    """Draw among the fewest most probable symbols that have this share of the probability."""
    seed: Seed = 1
    """Another one draws another corpus."""


def _check_column(file: str, column: int | None) -> None:
    """Raise ValueError for a table of which no column is named: its whole lines would be taken for text."""
    if column is None and content_suffix(file).lower() == ".tsv":
        raise ValueError(f"`{file}` has columns: give the `column` that is meant, counted from 1")


def _tag(text: str) -> str:
    if not re.fullmatch(r"<[\w.:-]{1,60}>", text):
        return "a tag looks like `<bt>`: letters, digits, `.`, `_`, `:` and `-` between `<` and `>`"
    if text in ("<pad>", "<unk>", "<s>"):
        return f"`{text}` has a meaning of its own in every vocabulary; take another name"
    return ""


class TrainCorpus(Corpus):
    """A corpus to learn from: one that is there, or one of which a model writes a side (`mono`, `side`, `by`)."""

    mono: str | None = None
    """File of the side that is there, one line a pair (instead of `source` and `target`, or `tsv`)."""
    column: Positive | None = None
    """Column of `mono`, counted from 1. `null`: whole lines."""
    side: Side | None = None
    """Which side that is: `target` for back-translation (Sennrich et al. 2016), `source` for distillation (Kim and Rush
    2016) and data diversification (Nguyen et al. 2020)."""
    by: str | Annotated[list[str], one_or_more] | None = None
    """Run or model directory of the model that writes the other side; several make an ensemble. Looked for in the
    working directory, then where corpora are."""
    beam: Annotated[int, at_least(1), at_most(1_000)] | None = None
    """Beam of the writing model. `null`: its own."""
    sample: Sample | None = None
    """Draw at random instead (Edunov et al. 2018). `null`: search."""

    weight: Annotated[float, above(0.0), at_most(1_000_000)] = 1.0
    """How often an epoch takes the corpus: 0.5 takes each pair in every other epoch, 3.0 three times in each."""
    tag: Annotated[str, _tag] | None = None
    """A symbol such as `<bt>`, put before each source as one piece: it tells the model where the pair is from (Caswell
    et al. 2019). No text contains it, not even one that reads the same, and no translation."""

    @property
    def models(self) -> list[str]:
        """The writing models as they are given."""
        return [self.by] if isinstance(self.by, str) else self.by or []

    @property
    def paths(self) -> dict[Role, str]:
        return super().paths | ({"mono": self.mono} if self.mono is not None else {})

    def check(self) -> None:
        if self.mono is None:
            for key in ("column", "side", "by", "beam", "sample"):
                if getattr(self, key) is not None:
                    raise ValueError(f"`{key}` has no effect without `mono`")
            super().check()
        elif len(self.paths) > 1 or (self.columns, self.fields) != ((1, 2), ("source", "target")):
            raise ValueError("`mono` goes with no other file, nor with `columns` (it has `column`) and `fields`")
        elif self.side is None or self.by is None:
            raise ValueError("`mono` needs `side`, which side its text is, and `by`, the model that writes the other")
        elif self.beam is not None and self.sample is not None:
            raise ValueError("`beam` has no effect with `sample`")
        else:
            _check_column(self.mono, self.column)
            self._check_sha256()


class Lines(Section):
    """The lines of a file, or of one column of a TSV file. Plain, `.gz`, `.xz` or `.zst`; looked for as corpora are."""

    file: str
    column: Positive | None = None
    """The column, counted from 1. `null`: whole lines."""
    sha256: Sha256 | None = None
    """Expected SHA-256 of the file; required for addresses."""

    def check(self) -> None:
        _check_column(self.file, self.column)


class Cleaning(Section):
    """Filters of the training pairs. A pair is dropped whole; each rule is counted in the report."""

    max_pieces: Annotated[int, at_least(1), at_most(10_000)] = 100
    """Longest side, in pieces of its tokenizer."""
    max_length_ratio: Annotated[float, at_least(1.0)] | None = 4.0
    """Longest side over shortest side, in pieces; short pairs (under 10 pieces) are exempt. `null`: no such rule."""
    deduplicate: bool = True
    """Drop exact repetitions of a pair."""
    drop_identical: bool = True
    """Drop pairs whose two sides are equal."""
    drop_overlap: bool = True
    """Drop pairs one side of which occurs in dev or test (same side, ignoring case and punctuation)."""
    min_script_share: Probability | None = 0.5
    """Least share of letters in the script of the language (Latin, Han, ...). `null`: no such rule."""
    exclude: list[Lines] = []
    """Lines that must not be learnt: pairs one side of which equals one of them are dropped, whatever the case, the
    punctuation and the spaces."""


Protected = Literal["tags", "placeholders", "urls", "emails", "numbers"]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        return f"not a regular expression: {error}"
    return ""


class Protect(Section):
    """Text that is carried over as it is: symbols stand for it on both sides, and the model learns to put them where
    they belong. Translating protects the same by default."""

    kinds: list[Protected] = ["tags", "placeholders", "urls", "emails"]
    """What is protected."""
    patterns: list[Annotated[str, _pattern]] = []
    """Regular expressions of what else is."""
    symbols: Annotated[int, at_least(2), at_most(64)] = 8
    """Most symbols of a sentence; what is beyond is put where the alignment says."""
    share: Probability = 0.1
    """Share of the pairs of an epoch in which words are replaced by symbols, and phrases put between two, as if by
    tags."""


class Terms(Section):
    """Terms that are written into the source: the model learns to translate by a glossary (Dinu et al. 2019)."""

    share: Annotated[float, above(0.0), below(1.0)] = 0.1
    """Share of the pairs of an epoch in which words of the source are followed by their translations."""


class Data(Section):
    train: Annotated[list[TrainCorpus], one_or_more]
    """Corpora to learn from."""
    dev: Annotated[list[Corpus], one_or_more]
    """Corpora to validate on."""
    test: list[Corpus] = []
    """Corpora that `s2s evaluate` scores; never seen in training."""
    folders: list[str] = []
    """Folders in which relative paths of corpora are looked for; relative to the recipe's folder, which is the default.
    The recipe in a run directory has the folders where its corpora were found, so that it can be run from there."""
    cleaning: Cleaning = Cleaning()
    protect: Protect | None = None
    """What is carried over as it is. `null`: a model without symbols for that."""
    terms: Terms | None = None
    """Terms in the source. `null`: a model without glossary."""

    def check(self) -> None:
        if self.protect and not (self.protect.kinds or any(self.protect.patterns)):
            raise ValueError("`protect` has no effect: its kinds and patterns are empty (leave it out)")
        if self.protect and "" in self.protect.patterns:
            raise ValueError("`protect.patterns` has an empty one, which finds nothing")
        if self.protect and self.terms and self.protect.share + self.terms.share > 1:
            raise ValueError("a pair has marks or terms, not both: `protect.share` + `terms.share` is at most 1")

    def corpora(self) -> list[Corpus]:
        """The corpora of all splits."""
        return [*self.train, *self.dev, *self.test]

    @property
    def weights(self) -> list[float]:
        """The weight of each training corpus; none if all are 1."""
        weights = [corpus.weight for corpus in self.train]
        return weights if any(weight != 1 for weight in weights) else []

    @property
    def tags(self) -> list[str]:
        """All tags of training corpora, each once."""
        return sorted({corpus.tag for corpus in self.train if corpus.tag})

    def models(self) -> list[str]:
        """All models that write corpora, as they are given."""
        return [model for corpus in self.train for model in corpus.models]

    def files(self) -> list[str]:
        """All files as they are given, those of the corpora and those with lines to exclude."""
        return [
            *(path for corpus in self.corpora() for path in corpus.paths.values()),
            *(lines.file for lines in self.cleaning.exclude),
        ]
