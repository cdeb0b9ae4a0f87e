"""Spoiled inputs: recipes, options, models, runs, corpora, hypotheses; each with the command that gets it."""

from __future__ import annotations

import gzip
import lzma
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from s2s_cli.sealed import Manifest, ManifestWriter

from .mutations import NUMBERS, TOKENS, become_odd, spoiled
from .task import finish, write_task

LINES = b"un deux\n\ntrois \xff\n"  # what models translate
SHORT = "--set training.updates=4 --set training.epochs=2 --set training.threads=1".split()  # whatever else it says
TOKENIZERS = {"word": [], "sentencepiece": ["tokenizer={kind: sentencepiece, vocabulary: 50}"]}


@dataclass(frozen=True)
class Mutant:
    """A command with what it reads, and what an error of it must name: one of these."""

    arguments: list[str]
    names: tuple[str, ...]
    stdin: bytes = b""
    lines: int | None = None
    """How many lines a success prints, where that is known."""


@dataclass(frozen=True)
class Originals:
    """What mutants are made of: a task with its recipe, and a run of it for each kind of tokenizer."""

    task: Path
    runs: list[Path]

    @classmethod
    def make(cls, folder: Path) -> Originals:
        """Train the runs below `folder`."""
        recipe, runs = write_task(folder / "task", pairs=40), []
        for kind, overrides in TOKENIZERS.items():
            runs.append(folder / f"run-{kind}")
            options = [word for override in overrides for word in ("--set", override)]
            finish(["train", str(recipe), "--run", str(runs[-1]), *SHORT, *options], folder / "messages")
        return cls(recipe.parent, runs)


def make_mutant(chance: random.Random, place: Path, originals: Originals) -> Mutant:
    """One mutant, with its files below the folder `place`."""
    return chance.choices(list(KINDS), list(KINDS.values()))[0](chance, place, originals)


def _recipe(chance: random.Random, place: Path, originals: Originals) -> Mutant:
    recipe = _copy_task(place, originals)
    recipe.write_bytes(spoiled(recipe.read_bytes(), chance))
    return Mutant([*_start(chance), str(recipe), "--run", str(place / "run"), *SHORT], (str(place), *_KEYS))


def _override(chance: random.Random, place: Path, originals: Originals) -> Mutant:
    recipe = _copy_task(place, originals)
    key, value = chance.choice(_dotted_keys()), chance.choice([*NUMBERS, *(t for t in TOKENS if "\0" not in t), ""])
    if chance.random() < 0.2:
        key = spoiled(key.encode(), chance).decode(errors="replace").replace("\0", "")[:1000]
    words = ["--set", f"{key}={value}", *SHORT]
    return Mutant([*_start(chance), str(recipe), "--run", str(place / "run"), *words], (str(place), *_KEYS))


def _model(chance: random.Random, place: Path, originals: Originals) -> Mutant:
    model = Path(shutil.copytree(chance.choice(originals.runs) / "model", place / "model"))
    _spoil_one(model, chance)
    options = chance.choice([["--greedy"], ["--json"], ["--alignments"], ["--attention", str(place / "page.html")]])
    arguments = ["translate", "--model", str(model), "--threads", "1", *options]
    return Mutant(arguments, (str(model),), LINES, lines=3)


def _run(chance: random.Random, place: Path, originals: Originals) -> Mutant:
    recipe, original = _copy_task(place, originals), chance.choice(originals.runs)
    run = Path(shutil.copytree(original, place / "run"))
    folders = [run, run / "data", *sorted((run / "data").glob("*/")), *sorted(run.glob("checkpoints/step-*"))]
    _spoil_one(chance.choice([*folders, run / "model"]), chance)
    overrides = [word for each in TOKENIZERS[original.name.removeprefix("run-")] for word in ("--set", each)]
    train = [str(recipe), "--run", str(run), "--set", "training.updates=6", "--set", "training.epochs=2", *overrides]
    commands = [["train", *train], ["train", *train], ["prep", *train], ["evaluate", "--model", str(run), "--bleu"]]
    return Mutant(chance.choice(commands), (str(place), *_KEYS))


def _corpus(chance: random.Random, place: Path, originals: Originals) -> Mutant:
    recipe = _copy_task(place, originals)
    name = chance.choice(["train", "dev", "test"])
    ending, pack = chance.choice([("", bytes), ("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
    old, new = recipe.with_name(f"{name}.tsv"), recipe.with_name(f"{name}.tsv{ending}")
    new.write_bytes(spoiled(pack(old.read_bytes()), chance))
    recipe.write_bytes(recipe.read_bytes().replace(old.name.encode(), new.name.encode()))
    return Mutant(["prep", str(recipe), "--run", str(place / "run")], (str(place), *_KEYS, "of train", "of dev"))


def _hypotheses(chance: random.Random, place: Path, originals: Originals) -> Mutant:
    lines = (originals.task / "dev.tsv").read_bytes().replace(b"\t", b" ")
    for name in ("hypotheses", "references"):
        (place / name).write_bytes(spoiled(lines, chance) if chance.random() < 0.6 else lines)
    files = ["--hypothesis", str(place / "hypotheses"), "--reference", str(place / "references")]
    metrics = chance.sample(["--bleu", "--chrf", "--ter", "--accuracy"], k=2)
    return Mutant(["evaluate", *files, *metrics], (str(place), "hypotheses", "reference"))


KINDS: dict[Callable[[random.Random, Path, Originals], Mutant], int] = {
    _model: 35,
    _recipe: 25,
    _run: 20,
    _override: 10,
    _corpus: 6,
    _hypotheses: 4,
}


# ------------------------------------------------------------------------------------------------------------ the parts

_KEYS = ("--set", "data.", "tokenizer.", "training.", "batch_tokens", "Error: ")
"""An error of a recipe may name its key instead of its file, and Typer names the option."""


def _start(chance: random.Random) -> list[str]:
    return chance.choice([["prep"], ["train"], ["train"], ["train", "--dry-run"]])


def _copy_task(place: Path, originals: Originals) -> Path:
    return Path(shutil.copytree(originals.task, place / "task")) / "recipe.yaml"


def _dotted_keys() -> list[str]:
    from s2s_cli.recipe.faults import _dotted_keys
    from s2s_cli.recipe.schema import Recipe

    return list(_dotted_keys(Recipe))


def _spoil_one(folder: Path, chance: random.Random) -> None:
    """Spoil one file of a folder; half of the time with checksums that fit again, as an attacker would."""
    path = chance.choice(sorted(path for path in folder.iterdir() if path.is_file()))
    sealed = (folder / "manifest.json").exists() and folder.name != "data"
    if sealed and chance.random() < 0.1:
        become_odd(path, chance)
        return
    path.write_bytes(spoiled(path.read_bytes(), chance))
    if sealed and path.name != "manifest.json" and chance.random() < 0.5:
        ManifestWriter(folder).seal(Manifest)
