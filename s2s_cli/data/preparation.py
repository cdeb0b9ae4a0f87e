"""`prepare`: from the corpora of a recipe to the data of its training.

The result lies in `<run>/data`: the tokenizers, the shards of `train`, the shards and texts of `dev` and of each
`test-<name>`, and `manifest.json`. It appears there as a whole or not at all, and the same inputs give the same bytes.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from s2s_cli import atomic, console
from s2s_cli.data.clean_text import CleanText, clean_corpora
from s2s_cli.data.cleaning import HeldOut, Unwanted, line_keys
from s2s_cli.data.corpora import ParallelCorpus, TextLines, folders_of, locate, locate_lines
from s2s_cli.data.held_out import HeldOutText
from s2s_cli.data.manifest import DataManifest, differences, fingerprints, relevant_keys
from s2s_cli.data.shards import ParallelData
from s2s_cli.data.tokenising import Tagged, encode_pairs
from s2s_cli.errors import CheckpointError, DataError, printable
from s2s_cli.processes import Mapper, apart, map_in_order
from s2s_cli.recipe.schema import Recipe
from s2s_cli.sealed import MANIFEST, ManifestWriter, SealedDirectory
from s2s_cli.text.protected import Finder
from s2s_cli.text.tokenizer import TERM_TAGS, TokenizerPair, load_tokenizers, mark_name, save_tokenizers
from s2s_cli.text.training import require_same_algorithms, train_tokenizers

# SentencePiece takes up to 20 times the size of its text in memory (if all words differ, or are not separated).
_SAMPLE_BYTES = 24 << 20

_NAME_BYTES = 120  # of a split, whose directory has its name


@dataclass(frozen=True)
class PreparedData:
    """Prepared data on disk: the hashes of tokenizers and texts are checked when they are read, those of shards by
    `sealed.verify_all`."""

    sealed: SealedDirectory
    manifest: DataManifest
    tokenizers: TokenizerPair
    train: ParallelData
    dev: ParallelData
    """Pairs of dev with a loss: neither empty nor too long."""

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Raises DataError if a file is missing or has another size, or if one that is read here is damaged."""
        sealed = SealedDirectory.open(directory, DataManifest)
        assert isinstance(sealed.manifest, DataManifest)
        train, dev = ParallelData.open(directory / "train"), ParallelData.open(directory / "dev")
        return cls(sealed, sealed.manifest, load_tokenizers(sealed), train, dev)

    @property
    def directory(self) -> Path:
        return self.sealed.path

    @property
    def learnt(self) -> str:
        """SHA-256 over what a training depends on: the tokenizers and the shards of train and dev."""
        return _learnt(self.manifest)

    def test_checksum(self, name: str) -> str:
        """SHA-256 over the texts of a test set."""
        return _checksum(self.manifest, lambda file: file in (f"test-{name}/source.txt", f"test-{name}/target.txt"))

    @property
    def test_names(self) -> list[str]:
        return self.manifest.tests

    @property
    def train_sizes(self) -> list[int]:
        """Number of pairs of each training corpus; they lie in the shards in this order."""
        return [corpus["pairs"] for corpus in self.manifest.splits["train"]["corpora"]]

    def dev_texts(self) -> tuple[list[str], list[str]]:
        """Clean sources and original references of all dev pairs."""
        return self._texts("dev")

    def test_texts(self, name: str) -> tuple[list[str], list[str]]:
        """Clean sources and original references of all pairs of a test set."""
        return self._texts(f"test-{name}")

    def _texts(self, split: str) -> tuple[list[str], list[str]]:
        text = HeldOutText.open(self.sealed, split)
        return text.sources, text.references


def _learnt(manifest: DataManifest) -> str:
    return _checksum(manifest, lambda file: not file.startswith("test-"))


def _checksum(manifest: DataManifest, belongs: Callable[[str], bool]) -> str:
    hashes = sorted((name, file.sha256) for name, file in manifest.files.items() if belongs(name))
    return sha256(json.dumps(hashes).encode()).hexdigest()


def open_prepared(run: Path) -> PreparedData:
    """The prepared data of a run, its shards not verified. Raises DataError if there is none."""
    directory = run / "data"
    if not directory.exists():
        raise DataError("there is no prepared data", where=directory, hint="run `s2s prep` with the recipe")
    try:
        return PreparedData.open(directory)
    except CheckpointError as error:
        raise DataError(error.what, where=error.where, hint="prepare the data again: `s2s prep --force`") from error


Written = Mapping[int, ParallelCorpus]
"""The corpora that a model wrote (`s2s_cli.synthesis`), by their places in `data.train`."""
NONE: Written = MappingProxyType({})


def prepare(
    recipe: Recipe,
    recipe_dir: Path,
    run: Path,
    initial: Path | None = None,
    *,
    force: bool = False,
    written: Written = NONE,
    mapper: Mapper = map_in_order,
) -> PreparedData:
    """Prepare the data of a recipe in `<run>/data`, unless it is there already and nothing it depends on has changed.

    initial: directory of the model of `init`; without it, such a run keeps the tokenizers that it has. mapper: who
    cleans and encodes; the result does not depend on it. The caller holds the lock of the run; without it, two
    processes would do the same work and one result be discarded.
    Raises DataError for faults of the corpora, and for data on which the checkpoints of the run cannot go on: theirs is
    then kept, since it may be all that is left of the corpora. Raises MachineError for faults of disk and network.
    """
    atomic.sweep(run)
    splits, exclude = _locate(recipe, recipe_dir, written), _locate_excluded(recipe, recipe_dir)
    before, reasons = _state(run / "data")
    base = _base(recipe, initial, before, run / "data")
    tests = [name.removeprefix("test-") for name in splits if name.startswith("test-")]
    keys = relevant_keys(recipe, tests, base.keys if base else {})
    inputs = fingerprints({**splits, "exclude": exclude}, before.manifest.inputs if before else {})
    if before:
        reasons = differences(before.manifest, keys, inputs) or ([] if force else _damage(recipe, before))
        if not reasons and not force:
            console.say(f"data is up to date: {run / 'data'}")
            return before
    for reason in reasons:
        console.say(f"data is prepared again: {reason}")
    begin = time.monotonic()
    with atomic.new_directory(run / "data") as directory:
        writer = ManifestWriter(directory)
        facts = _build(recipe, splits, exclude, writer, base, mapper)
        manifest = writer.seal(DataManifest, tests=keys["data.test"], keys=keys, inputs=inputs, **facts)
        if before and before.learnt != _learnt(manifest) and any((run / "checkpoints").glob("step-*")):
            raise other_data(run)
    for line in _report(manifest):
        console.say(line)
    console.say(f"prepared in {time.monotonic() - begin:.1f} s: {run / 'data'}")
    return open_prepared(run)


def other_data(run: Path) -> DataError:
    """The error for prepared data that is not what the checkpoints of a run were trained on."""
    hint = "restore corpora and recipe as they were, or take another name (`name:` or --run)"
    return DataError("the prepared data is not that of the checkpoints", where=run, hint=hint)


def prepare_apart(
    recipe: Recipe, recipe_dir: Path, run: Path, initial: Path | None = None, *, written: Written = NONE
) -> PreparedData:
    """The same for a caller in which a library runs threads: no worker process is forked from it."""
    apart(partial(_only_prepare, recipe, recipe_dir, run, initial, dict(written)), fresh=True)
    return open_prepared(run)


def _only_prepare(recipe: Recipe, recipe_dir: Path, run: Path, initial: Path | None, written: Written) -> None:
    prepare(recipe, recipe_dir, run, initial, written=written)


def _state(directory: Path) -> tuple[PreparedData | None, list[str]]:
    """The data prepared before; or None, with its fault if there is any data."""
    try:
        return (PreparedData.open(directory) if (directory / MANIFEST).exists() else None), []
    except DataError as error:
        return None, [str(error)]


def _damage(recipe: Recipe, prepared: PreparedData) -> list[str]:
    if recipe.data.weights and "corpora" not in prepared.manifest.splits["train"]:
        return ["an older version did not count the pairs of each corpus"]
    try:
        prepared.sealed.verify_all()
    except DataError as error:
        return [str(error)]
    return []


def _locate(recipe: Recipe, recipe_dir: Path, written: Written) -> dict[str, list[ParallelCorpus]]:
    """Corpora by split: `train`, `dev`, and a split `test-<name>` for each test corpus."""
    folders = folders_of(recipe.data.folders, recipe_dir)
    splits = {
        "train": [
            locate(corpus, folders, recipe.languages) if corpus.mono is None else written[number]
            for number, corpus in enumerate(recipe.data.train)
        ],
        "dev": [locate(corpus, folders, recipe.languages) for corpus in recipe.data.dev],
    }
    for corpus in recipe.data.test:
        located = locate(corpus, folders, recipe.languages)
        name = "test-" + re.sub(r"[^\w.-]", "-", located.name)
        if name in splits:
            hint = "give each corpus of data.test its own `name`"
            raise DataError(f"two test sets are called {located.name!r}", where=recipe_dir, hint=hint)
        if len(name.encode()) > _NAME_BYTES:
            what = f"the name of a test set is too long: {printable(located.name, 40)}"
            raise DataError(what, where=recipe_dir, hint="give it a short `name`")
        splits[name] = [located]
    return splits


def _locate_excluded(recipe: Recipe, recipe_dir: Path) -> list[TextLines]:
    folders = folders_of(recipe.data.folders, recipe_dir)
    return [locate_lines(lines, folders) for lines in recipe.data.cleaning.exclude]


class _Base(NamedTuple):
    """Tokenizers that are given, to keep or to extend. keys: what the manifest says of them."""

    tokenizers: TokenizerPair
    extend: bool
    keys: dict[str, Any]


def _base(recipe: Recipe, initial: Path | None, before: PreparedData | None, directory: Path) -> _Base | None:
    """The tokenizers of the model of `init`; where it is not at hand, those that were made of them before.

    Raises DataError if they are damaged or lost, or cannot be extended as the recipe says.
    """
    if recipe.init is None:
        return None
    if initial is not None:
        pair = load_tokenizers(SealedDirectory.open(initial))
        if recipe.init.extend:
            require_same_algorithms(recipe.tokenizer, pair)
        sides = {"source": pair.source, "target": pair.target}
        keys = {f"init.{side}": sha256(each.to_bytes()).hexdigest() for side, each in sides.items()}
        return _Base(pair, recipe.init.extend, {"init.extend": recipe.init.extend, **keys})
    if before is None:
        hint = "remove this folder: the data is then prepared with the model of init.from"
        raise DataError("the tokenizers of this run are lost", where=directory, hint=hint)
    keys = before.manifest.keys
    return _Base(before.tokenizers, False, {key: keys[key] for key in keys if key.startswith("init.")})


def _build(
    recipe: Recipe,
    splits: dict[str, list[ParallelCorpus]],
    exclude: list[TextLines],
    writer: ManifestWriter,
    base: _Base | None,
    mapper: Mapper,
) -> dict[str, Any]:
    """Fill the directory of `writer`; returns the sizes of the tokenizers and the counts of all splits."""
    directory = writer.directory
    held_out = {name: HeldOutText.read(corpora) for name, corpora in splits.items() if name != "train"}
    keys = HeldOut.of(pair for text in held_out.values() for pair in text.clean_pairs())
    unwanted = Unwanted(keys, line_keys(line for lines in exclude for line in lines.read()))
    cleaning = recipe.data.cleaning

    work = directory / "work"
    work.mkdir()
    text = clean_corpora(splits["train"], cleaning, recipe.languages, unwanted, work, mapper)
    if not len(text):
        raise _nothing_left("train", text.rejected)
    tokenizers = base.tokenizers if base and not base.extend else _trained(recipe, text)
    if base and base.extend:
        tokenizers = base.tokenizers.extended(tokenizers)
    _require_tags(recipe, tokenizers)
    save_tokenizers(tokenizers, writer)
    tagged = list(map(Tagged, text.of_corpora(), [corpus.tag for corpus in recipe.data.train]))
    protect = recipe.data.protect
    finder = Finder(tuple(protect.kinds), tuple(protect.patterns)) if protect else None
    tokens, too_long = encode_pairs(tagged, len(text), tokenizers, cleaning, directory / "train", mapper, finder)
    shutil.rmtree(work)

    for corpus, rejected in zip(text.corpora, too_long, strict=True):
        corpus.pairs -= rejected.total()
        corpus.rejected += rejected
    train = _train_counts(text, splits["train"])
    if not train["pairs"]:
        raise _nothing_left("train", train["rejected"])
    counts = {"train": train | tokens}
    for name, lines in held_out.items():
        counts[name] = lines.write(directory / name, tokenizers, cleaning.max_pieces)
        if not counts[name]["pairs_with_loss"]:
            raise _nothing_left(name, counts[name]["without_loss"])
    sizes = {"joint": tokenizers.joint, "source": tokenizers.source.size, "target": tokenizers.target.size}
    return {"tokenizers": sizes, "splits": counts}


def _nothing_left(split: str, rejected: dict[str, int]) -> DataError:
    where = "data." + split.replace("test-", "test, ")
    if not rejected:
        return DataError("there is no pair: the files are empty", where=where)
    hint = "look at data.cleaning" if split == "train" else "look at the files, and at data.cleaning.max_pieces"
    return DataError(f"no pair is left: {_dropped(rejected)}", where=where, hint=hint)


def _require_tags(recipe: Recipe, tokenizers: TokenizerPair) -> None:
    """Raise DataError if the tokenizers of `init` lack a tag of a corpus, or the marks of protected text."""
    hint = "leave {} out, or give init.extend: true, which adds it"
    if lacking := [tag for tag in recipe.data.tags if tag not in tokenizers.source.tags]:
        raise DataError(f"the model of `init` has no tag {lacking[0]}", where="data.train", hint=hint.format("the tag"))
    if recipe.data.terms and tokenizers.source.term_tags is None:
        raise DataError("the model of `init` reads no terms", where="data.terms", hint=hint.format("data.terms"))
    marks = min(len(tokenizers.source.marks), len(tokenizers.target.marks))
    if recipe.data.protect and marks < recipe.data.protect.symbols:
        what = f"the model of `init` has {marks} symbols for protected text, not {recipe.data.protect.symbols}"
        raise DataError(what, where="data.protect", hint=hint.format("data.protect"))


def _trained(recipe: Recipe, text: CleanText) -> TokenizerPair:
    marks = [mark_name(number + 1) for number in range(recipe.data.protect.symbols if recipe.data.protect else 0)]
    tags = [*recipe.data.tags, *(TERM_TAGS if recipe.data.terms else ())]
    return apart(lambda: train_tokenizers(recipe.tokenizer, *_sample_lines(text, recipe), tags, marks))


def _train_counts(text: CleanText, files: Sequence[ParallelCorpus]) -> dict[str, Any]:
    """What became of the training pairs, together and by corpus; and what was written by a model is made of."""
    corpora = [
        {**vars(corpus), "rejected": dict(corpus.rejected)} | ({"made_of": found.made_of} if found.made_of else {})
        for corpus, found in zip(text.corpora, files, strict=True)
    ]
    read, kept = (sum(corpus[count] for corpus in corpora) for count in ("pairs_read", "pairs"))
    return {"pairs_read": read, "pairs": kept, "rejected": text.rejected, "corpora": corpora}


def _sample_lines(text: CleanText, recipe: Recipe) -> tuple[Iterator[str], Iterator[str]]:
    """Lines of both sides to train the tokenizers on. A joint tokenizer takes half of its lines from each side."""
    most = -(-recipe.tokenizer.sample // 2) if recipe.tokenizer.is_joint else recipe.tokenizer.sample
    most = min(most, int(_SAMPLE_BYTES / text.mean_bytes) + 1)
    return (source for source, _ in text.sample(most)), (target for _, target in text.sample(most))


def _report(manifest: DataManifest) -> Iterator[str]:
    """The figures of a preparation, for the user."""
    splits, sizes = manifest.splits, manifest.tokenizers
    train = splits["train"]
    corpora = train["corpora"] if len(train["corpora"]) > 1 else []
    for name, counts in [("train", train), *((f"- {corpus['name']}", corpus) for corpus in corpora)]:
        yield f"{name}: {counts['pairs_read']:,} pairs read, {counts['pairs']:,} kept; {_dropped(counts['rejected'])}"
    for name, counts in splits.items():
        if name != "train":
            without = counts["without_loss"]
            yield f"{name}: {counts['pairs']:,} pairs" + (f"; without a loss: {_named(without)}" if without else "")
    vocabulary = f"{sizes['source']:,} shared" if sizes["joint"] else f"{sizes['source']:,} + {sizes['target']:,}"
    yield f"symbols: {vocabulary}"
    for side in ("source", "target"):
        tokens, unknown = train[side]["tokens"], train[side]["unknown"]
        yield f"{side} tokens: {tokens:,}, {unknown / tokens:.3%} unknown, {tokens / train['pairs']:.1f} a sentence"


def _dropped(rejected: dict[str, int]) -> str:
    return f"dropped: {_named(rejected)}" if rejected else "none dropped"


def _named(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items())
