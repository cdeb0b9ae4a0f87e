"""`init`: training begins with the weights of an exported model instead of random ones.

The vocabularies may be others, such as longer ones. Their pieces are found again by name: a piece of both keeps its
rows in the tables (Lakew et al. 2018), and a new one begins with the mean of those of the old pieces that its text is
made of (Gee et al. 2022). A piece without any keeps its random row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from s2s_cli.checkpoint.model_directory import load_config, load_model_files
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.data.corpora import folders_of, model_folder
from s2s_cli.errors import CheckpointError, UsageError, printable
from s2s_cli.forms import FormError, leaves
from s2s_cli.inference.model_path import model_directory
from s2s_cli.inference.reference import restore
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema
from s2s_cli.recipe.loading import load_recipe, values_of
from s2s_cli.recipe.schema import Recipe
from s2s_cli.sealed import MANIFEST
from s2s_cli.text.tokenizer import SYMBOLS, UNK, WORD_START, Tokenizer, TokenizerPair
from s2s_cli.training.process_group import ProcessGroup

KEY = "init.from"

MAY_DIFFER = ("dropout", "attention.coverage_loss")
"""Keys of `model` that say how to train, not what the weights mean."""

TABLES = {
    "encoder.embedding.weight": "source",
    "embedding.weight": "target",
    "output.weight": "target",
    "output.bias": "target",
}
"""The parameters with a row for each symbol, and the side whose symbols they are. A tied table stands under its first
name; where it serves both sides, these have one vocabulary."""


# ----------------------------------------------------------------------------------------------------------- the recipe


def settle(recipe: Recipe, recipe_dir: Path, run: RunDirectory) -> tuple[Recipe, Path | None]:
    """The recipe with all keys of its model, and the directory of the model that training begins with.

    A run that has checkpoints goes on from them: it needs no directory, and the model may be gone. Raises UsageError if
    there is no such model or the recipe describes another one, CheckpointError if it is damaged.
    """
    if recipe.init is None:
        return recipe, None
    if any(run.checkpoints.glob("step-*")) and run.recipe.exists() and (run.data / MANIFEST).exists():
        return _with_model(recipe, load_recipe(run.recipe).model, run.recipe), None
    directory = _find(recipe.init.from_, recipe_dir, recipe.data.folders)
    if directory.resolve() == run.model.resolve():
        raise UsageError("a run cannot begin with its own model", where=f"{KEY} {recipe.init.from_}")
    return _with_model(recipe, load_config(directory).model, directory), directory


def _find(given: str, recipe_dir: Path, folders: Sequence[str]) -> Path:
    """The model directory that a recipe names."""
    return model_directory(model_folder(given, folders_of(folders, recipe_dir)), asked_by=KEY)


def _with_model(recipe: Recipe, own: schema.Model, where: Path) -> Recipe:
    """The recipe with the model's keys where it has none of its own. Raises UsageError if they differ."""
    given, values = recipe.model.given(), own.values()
    keys, known = dict(leaves(given)), dict(leaves(values))
    clashes = [
        f"model.{key} is {json.dumps(value)}, there {json.dumps(known[key]) if key in known else 'unknown'}"
        for key, value in keys.items()
        if known.get(key) != value and not key.startswith(MAY_DIFFER)
    ]
    if clashes:
        hint = f"leave the section `model` out, or give only its {' and '.join(MAY_DIFFER)}"
        raise UsageError(f"the recipe describes another model: {', '.join(clashes)}", where=f"{KEY} {where}", hint=hint)
    try:
        return Recipe.read(values_of(recipe) | {"model": _merged(values, given)})
    except FormError as error:
        raise UsageError(error.faults[0].what, where=f"{KEY} {where}") from error


def _merged(values: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """`values`, with `others` in their places."""
    inner = {key: _merged(values[key], other) for key, other in others.items() if isinstance(other, Mapping)}
    return {**values, **others, **inner}


# ---------------------------------------------------------------------------------------------------------- the weights


class Origin(NamedTuple):
    """The model that the weights of a run descend from.

    sha256: of its `model.safetensors`.
    """

    name: str
    sha256: str

    def require_same(self, group: ProcessGroup) -> None:
        """Raise CheckpointError if this process has read another model than the first one."""
        mine = float(int(self.sha256[:12], 16))
        if group.from_first(mine) != mine:
            raise CheckpointError(f"{self.name!r} was replaced while it was read", hint="start the training again")


class Beginning(NamedTuple):
    """The weights at update 0."""

    weights: dict[str, Tensor]
    origin: Origin
    report: str
    """What was taken over, for the user."""


def begin_with(directory: Path, recipe: Recipe, model: Seq2Seq, tokenizers: TokenizerPair) -> Beginning:
    """The weights of the model in `directory`, for a model of the same shape with random weights.

    tokenizers: those of the new model. Raises CheckpointError if the directory is damaged, or was replaced by another
    model since the data was prepared.
    """
    files = load_model_files(directory)
    sides = {
        "source": (files.tokenizers.source, tokenizers.source),
        "target": (files.tokenizers.target, tokenizers.target),
    }
    if recipe.keeps_tokenizers and any(old.to_bytes() != new.to_bytes() for old, new in sides.values()):
        fault = "its tokenizers are not those that the data was prepared with"
        raise CheckpointError(fault, where=directory, hint="the same command prepares the data again")
    origins = {side: row_origins(old, new) for side, (old, new) in sides.items()}
    weights = transferred(restore(directory, files).state_dict(), model.state_dict(), origins)
    languages, name = files.config.languages, printable(files.config.name)
    report = f"begins with {name} ({printable(languages.source)}-{printable(languages.target)}), {directory}"
    if not recipe.keeps_tokenizers:
        counts = (f"{side} symbols: {_counted(origins[side], *pair)}" for side, pair in sides.items())
        report = "; ".join([report, *counts])
    return Beginning(weights, Origin(files.config.name, files.checksum), report)


def row_origins(old: Tokenizer, new: Tokenizer) -> list[list[int]]:
    """For each new symbol, the old ones whose mean its rows begin with; none for random ones."""
    known = {piece: index for index, piece in enumerate(old.pieces(range(old.size))) if index >= len(SYMBOLS)}
    special = [[index] for index in range(len(SYMBOLS))]
    pieces = new.pieces(range(len(SYMBOLS), new.size))
    return special + [[known[piece]] if piece in known else _parts(old, piece) for piece in pieces]


def _parts(old: Tokenizer, piece: str) -> list[int]:
    """The old pieces with a text that a new one is made of."""
    ids = old.encode_piece(piece)
    return [index for index, part in zip(ids, old.pieces(ids), strict=True) if index != UNK and part != WORD_START]


def transferred(
    old: Mapping[str, Tensor], fresh: Mapping[str, Tensor], origins: Mapping[str, Sequence[Sequence[int]]]
) -> dict[str, Tensor]:
    """The weights of the old model, its tables with the rows of the new symbols.

    old, fresh: `state_dict` of the old and of the new model. origins: of each side, see `row_origins`.
    """
    return {
        name: _mapped(tensor, fresh[name], origins[TABLES[name]]) if name in TABLES else tensor
        for name, tensor in old.items()
    }


def _mapped(old_VX: Tensor, fresh_WX: Tensor, origins: Sequence[Sequence[int]]) -> Tensor:
    """A table (or the bias, with a number a row) of the new symbols."""
    mapped_WX = fresh_WX.detach().to(old_VX.device, copy=True)
    for row, sources in enumerate(origins):
        if sources:
            mapped_WX[row] = old_VX[list(sources)].mean(dim=0)
    return mapped_WX


def _counted(origins: Sequence[Sequence[int]], old: Tokenizer, new: Tokenizer) -> str:
    """How the rows of a side begin."""
    pieces, of_chance = set(old.pieces(range(old.size))), sum(not sources for sources in origins)
    kept = sum(piece in pieces for piece in new.pieces(range(new.size)))
    return f"{kept:,} kept, {new.size - kept - of_chance:,} from their parts, {of_chance:,} random"
