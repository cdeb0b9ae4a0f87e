"""`prepare`: from the corpora of a recipe to the data of its training.

The result lies in `<run>/data`: the tokenizers, the shards of `train`, the shards and texts of `dev` and of each
`test-<name>`, and `manifest.json`. It appears there as a whole or not at all, and the same inputs give the same bytes.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from s2s_cli import atomic, console
from s2s_cli.data.clean_text import CleanText, clean_corpora
from s2s_cli.data.cleaning import Excluded, Overlap, length_rules, text_rules
from s2s_cli.data.corpora import ParallelCorpus, TextLines, folders_of, locate, locate_lines
from s2s_cli.data.held_out import HeldOutText
from s2s_cli.data.manifest import DataManifest, differences, dropped, fingerprints, relevant_keys, report
from s2s_cli.data.prepared import PreparedData, open_prepared, other_data
from s2s_cli.data.tokenising import Tagged, encode_pairs
from s2s_cli.errors import CheckpointError, DataError, printable
from s2s_cli.processes import Mapper, apart, map_in_order
from s2s_cli.recipe.schema import Recipe
from s2s_cli.sealed import MANIFEST, ManifestWriter, SealedDirectory
from s2s_cli.text.protected import Finder
from s2s_cli.text.scripts import script_of
from s2s_cli.text.tokenizer import TERM_TAGS, TokenizerPair, load_tokenizers, mark_name, save_tokenizers
from s2s_cli.text.training import require_same_algorithms, train_tokenizers

# SentencePiece takes up to 20 times the size of its text in memory (if all words differ, or are not separated).
_SAMPLE_BYTES = 24 << 20

_NAME_BYTES = 120  # of a split, whose directory has its name

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
    data, found = run / "data", _locate(recipe, recipe_dir, written)
    before, reasons = _state(data)
    known = before.manifest if before else _known(data)
    is_trained = any((run / "checkpoints").glob("step-*"))
    if reasons and is_trained and known is None and not force:
        hint = "restore it from a copy, or prepare it again: `s2s prep --force`"
        raise DataError(f"what the checkpoints were trained on is damaged: {reasons[0]}", where=data, hint=hint)
    base = _base(recipe, initial, data)
    keys = relevant_keys(recipe, found.tests, base.keys if base else {})
    inputs = fingerprints({**found.splits, "exclude": found.exclude}, known.inputs if known and not force else {})
    if before:
        reasons = differences(before.manifest, keys, inputs) or ([] if force else _damage(recipe, before))
        if not reasons and not force:
            console.say(f"data is up to date: {data}")
            return before
    for reason in reasons:
        console.say(f"data is prepared again: {reason}")
    begin = time.monotonic()
    with atomic.new_directory(data) as directory:
        writer = ManifestWriter(directory)
        facts = _build(recipe, found, writer, base, mapper)
        manifest = writer.seal(DataManifest, tests=found.tests, keys=keys, inputs=inputs, **facts)
        if known and known.learnt != manifest.learnt and is_trained:
            raise other_data(run)
    for line in report(manifest):
        console.say(line)
    _warn_of_lost_corpora(manifest)
    console.say(f"prepared in {time.monotonic() - begin:.1f} s: {data}")
    return open_prepared(run)


def prepare_apart(
    recipe: Recipe, recipe_dir: Path, run: Path, initial: Path | None = None, *, written: Written = NONE
) -> PreparedData:
    """The same by a new Python, for a caller in which a library runs threads: no worker is forked from it.

    (What that Python calls lies here, where nothing imports torch.)
    """
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


def _known(directory: Path) -> DataManifest | None:
    """What is known of the data prepared before."""
    try:
        return _manifest(directory)
    except CheckpointError:
        return None


def _manifest(directory: Path) -> DataManifest:
    """The manifest of data of which other files may be damaged. Raises CheckpointError."""
    manifest = SealedDirectory.by_manifest(directory, DataManifest).manifest
    assert isinstance(manifest, DataManifest)
    return manifest


def _damage(recipe: Recipe, prepared: PreparedData) -> list[str]:
    if recipe.data.weights and "corpora" not in prepared.manifest.splits["train"]:
        return ["an older version did not count the pairs of each corpus"]
    try:
        prepared.sealed.verify_all()
    except DataError as error:
        return [str(error)]
    return []


class _Found(NamedTuple):
    """The files of a recipe. splits: corpora by split, `train`, `dev`, and a split `test-<name>` for each test corpus;
    exclude: lines that are not to be learnt."""

    splits: dict[str, list[ParallelCorpus]]
    exclude: list[TextLines]

    @property
    def tests(self) -> list[str]:
        return [name.removeprefix("test-") for name in self.splits if name.startswith("test-")]


def _locate(recipe: Recipe, recipe_dir: Path, written: Written) -> _Found:
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
    return _Found(splits, [locate_lines(lines, folders) for lines in recipe.data.cleaning.exclude])


class _Base(NamedTuple):
    """Tokenizers that are given, to keep or to extend. keys: what the manifest says of them."""

    tokenizers: TokenizerPair
    extend: bool
    keys: dict[str, Any]


def _base(recipe: Recipe, initial: Path | None, directory: Path) -> _Base | None:
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
    try:
        manifest = _manifest(directory)
        pair = load_tokenizers(SealedDirectory(directory, manifest))
    except CheckpointError as error:
        hint = f"move {directory} away: the data is then prepared with the model of init.from"
        raise DataError(f"the tokenizers of this run are lost: {error.what}", where=error.where, hint=hint) from error
    return _Base(pair, False, {key: value for key, value in manifest.keys.items() if key.startswith("init.")})


def _warn_of_unknown_scripts(recipe: Recipe) -> None:
    for side, language in recipe.languages.values().items():
        if recipe.data.cleaning.min_script_share is not None and script_of(language) is None:
            idle = f"data.cleaning.min_script_share has no effect on the {side}"
            console.warn(f"{idle}: the script of `{language}` is not known (a code such as `fr` or `sr-Latn` tells it)")


def _build(recipe: Recipe, found: _Found, writer: ManifestWriter, base: _Base | None, mapper: Mapper) -> dict[str, Any]:
    """Fill the directory of `writer`; returns the sizes of the tokenizers and the counts of all splits."""
    directory, cleaning, protect = writer.directory, recipe.data.cleaning, recipe.data.protect
    _warn_of_unknown_scripts(recipe)
    held_out = {name: HeldOutText.read(corpora) for name, corpora in found.splits.items() if name != "train"}
    overlap = Overlap.of(pair for text in held_out.values() for pair in text.clean_pairs())
    excluded = Excluded.of(line for lines in found.exclude for line in lines.read())
    on_text = text_rules(cleaning, recipe.languages, overlap, excluded)
    on_lengths = length_rules(cleaning.max_pieces, cleaning.max_length_ratio)

    work = directory / "work"
    work.mkdir()
    text = clean_corpora(found.splits["train"], on_text, work, mapper, deduplicate=cleaning.deduplicate)
    if not len(text):
        raise _nothing_left("train", text.rejected)
    tokenizers = _tokenizers(recipe, base, text)
    save_tokenizers(tokenizers, writer)
    tagged = list(map(Tagged, text.of_corpora(), [corpus.tag for corpus in recipe.data.train]))
    finder = Finder(tuple(protect.kinds), tuple(protect.patterns)) if protect else None
    tokens, too_long = encode_pairs(tagged, len(text), tokenizers, on_lengths, directory / "train", mapper, finder)
    shutil.rmtree(work)

    for corpus, rejected in zip(text.corpora, too_long, strict=True):
        corpus.drop(rejected)
    train = _train_counts(text, found.splits["train"])
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
    return DataError(f"no pair is left: {dropped(rejected)}", where=where, hint=hint)


def _tokenizers(recipe: Recipe, base: _Base | None, text: CleanText) -> TokenizerPair:
    """Those that are given, or trained on the text, or the former extended by the latter."""
    if base is None:
        return _trained(recipe, text)
    tokenizers = base.tokenizers.extended(_trained(recipe, text)) if base.extend else base.tokenizers
    _require_tags(recipe, tokenizers)
    return tokenizers


def _trained(recipe: Recipe, text: CleanText) -> TokenizerPair:
    marks = [mark_name(number + 1) for number in range(recipe.data.protect.symbols if recipe.data.protect else 0)]
    tags = [*recipe.data.tags, *(TERM_TAGS if recipe.data.terms else ())]
    return apart(lambda: train_tokenizers(recipe.tokenizer, *_sample_lines(text, recipe), tags, marks))


def _sample_lines(text: CleanText, recipe: Recipe) -> tuple[Iterator[str], Iterator[str]]:
    """Lines of both sides to train the tokenizers on. A joint tokenizer takes half of its lines from each side."""
    most = -(-recipe.tokenizer.sample // 2) if recipe.tokenizer.is_joint else recipe.tokenizer.sample
    most = min(most, int(_SAMPLE_BYTES / text.mean_bytes) + 1)
    return (source for source, _ in text.sample(most)), (target for _, target in text.sample(most))


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


def _train_counts(text: CleanText, files: Sequence[ParallelCorpus]) -> dict[str, Any]:
    """What became of the training pairs, together and by corpus; and what was written by a model is made of."""
    corpora = [
        {**vars(corpus), "rejected": dict(corpus.rejected)} | ({"made_of": found.made_of} if found.made_of else {})
        for corpus, found in zip(text.corpora, files, strict=True)
    ]
    read, kept = (sum(corpus[count] for corpus in corpora) for count in ("pairs_read", "pairs"))
    return {"pairs_read": read, "pairs": kept, "rejected": text.rejected, "corpora": corpora}


def _warn_of_lost_corpora(manifest: DataManifest) -> None:
    for corpus in manifest.splits["train"]["corpora"]:
        if corpus["pairs_read"] and not corpus["pairs"]:
            console.warn(f"no pair of the corpus `{corpus['name']}` is left (look at data.cleaning, or leave it out)")
