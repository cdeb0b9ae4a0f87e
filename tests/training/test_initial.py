"""`init`: which rows of an exported model the symbols of another vocabulary begin with, and what a recipe may say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from s2s_cli.checkpoint.model_directory import load_config, save_model
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.errors import CheckpointError, UsageError
from s2s_cli.model.building import build_model
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema
from s2s_cli.recipe.loading import dump_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import SYMBOLS, UNK, WORD_START, TokenizerPair
from s2s_cli.text.training import train_tokenizers
from s2s_cli.training.initial import Origin, begin_with, row_origins, settle, transferred
from s2s_cli.training.process_group import ProcessGroup

SHAPE: dict[str, Any] = {
    "embedding": 8,
    "encoder": {"hidden": 4},
    "decoder": {"hidden": 8},
    "attention": {"size": 5},
    "dropout": {"embedding": 0.1},
}
LINES = ["a little girl climbing into a wooden playhouse", "several men in hard hats", "ein Mädchen im Spielhaus"] * 4
FIRST = len(SYMBOLS)

# Characters of which words can be made: their ids are 4, 5, 6 and 7.
SOURCE, TARGET = CharacterTokenizer([WORD_START, "a", "b", "c"]), CharacterTokenizer(["b", "x", "y", "a"])
OLD = TokenizerPair(SOURCE, TARGET)


def _model(pair: TokenizerPair, seed: int, **changes: Any) -> Seq2Seq:
    torch.manual_seed(seed)
    return build_model(schema.Model.read(SHAPE | changes), pair.source.size, pair.target.size)


def _export(directory: Path, pair: TokenizerPair = OLD, **changes: Any) -> Seq2Seq:
    model = _model(pair, 1, **changes)
    config = {
        "s2s_version": "0.1.0",
        "name": "general",
        "languages": {"source": "ja", "target": "en"},
        "model": schema.Model.read(SHAPE | changes).values(),
        "source_vocabulary": pair.source.size,
        "target_vocabulary": pair.target.size,
        "decoding": schema.Decoding().values(),
        "max_pieces": 10,
    }
    save_model(directory, model.state_dict(), config, pair, "")
    return model


def _recipe(given: str | Path, *, extend: bool = False, **sections: Any) -> Recipe:
    corpus = {"tsv": "t.tsv"}
    return Recipe.read(
        {
            "name": "adapted",
            "languages": {"source": "zh", "target": "en"},
            "data": {"train": [corpus], "dev": [corpus]},
            "init": {"from": str(given), "extend": extend},
            **sections,
        }
    )


# ---------------------------------------------------------------------------------------------------------- the mapping


def test_each_kind_of_symbol_has_its_rows():
    new = CharacterTokenizer(["c", "ab", f"{WORD_START}a", "z", "bz", WORD_START, f"{WORD_START}z"])
    assert row_origins(SOURCE, new) == [[0], [1], [2], [3], [7], [5, 6], [5], [], [6], [4], []]


def test_a_word_that_reads_like_a_special_symbol_is_not_that_symbol():
    assert row_origins(CharacterTokenizer(["x"]), CharacterTokenizer(["<pad>"]))[FIRST] == []
    assert row_origins(CharacterTokenizer(["<pad>"]), CharacterTokenizer(["<pad>"]))[FIRST] == [FIRST]


@pytest.mark.parametrize(
    ("kind", "case_markup"),
    [("unigram", False), ("unigram", True), ("bpe", False), ("bpe", True), ("character", False), ("word", False)],
)
def test_names_and_texts_of_every_tokenizer(kind: str, case_markup: bool):
    """A piece of both maps to itself, and a new one to parts that together read as it does."""
    keys = {"model": kind, "case_markup": case_markup} if kind in ("unigram", "bpe") else {"kind": kind}
    config = schema.Tokenizer.read({"vocabulary": 60, **keys})
    old, new = (train_tokenizers(config, lines, []).source for lines in (LINES[:2], LINES[1:]))
    origins, before = row_origins(old, new), old.pieces(range(old.size))
    assert row_origins(old, old) == [[index] for index in range(old.size)]
    assert any(piece in before[FIRST:] for piece in new.pieces(range(FIRST, new.size)))
    for piece, sources in zip(new.pieces(range(new.size)), origins, strict=True):
        if piece in before:
            assert sources == [before.index(piece)]
            continue
        known = [part for part in old.pieces(old.encode_piece(piece)) if part != SYMBOLS[UNK]]
        text = "".join(known).replace(WORD_START, "")
        assert "".join(old.pieces(sources)).replace(WORD_START, "") == text
        assert len(sources) == len([part for part in known if part != WORD_START])
    assert (kind in ("unigram", "bpe")) == any(len(sources) > 1 for sources in origins)


MEMBERS: dict[str, dict[str, Any]] = {
    "attention": {},
    "copy": {"output": "copy"},
    "coverage": {"attention": {"size": 5, "coverage": True}},
    "tied target": {"tied": "target"},
    "no previous output": {"decoder": {"hidden": 8, "context": "initial", "feed_previous": False}},
    "transformer": {"encoder": {"kind": "transformer", "hidden": 8, "heads": 2, "layers": 1, "feed_forward": 8}},
}
SIDES: dict[str, Callable[[Seq2Seq], Tensor | None]] = {
    "source": lambda model: model.encoder.embedding.weight,
    "target": lambda model: getattr(model.embedding, "weight", None),
    "output": lambda model: model.output.weight,
    "bias": lambda model: model.output.bias,
}


def _begun(old: Seq2Seq, old_pair: TokenizerPair, new_pair: TokenizerPair, **changes: Any) -> tuple[Seq2Seq, Seq2Seq]:
    """A model that begins with another, and the random one that it was."""
    model, fresh = (_model(new_pair, 2, **changes) for _ in range(2))
    origins = {
        "source": row_origins(old_pair.source, new_pair.source),
        "target": row_origins(old_pair.target, new_pair.target),
    }
    model.load_state_dict(transferred(old.state_dict(), model.state_dict(), origins))
    return model, fresh


@pytest.mark.parametrize("member", MEMBERS)
def test_the_rows_of_every_table(member: str):
    """New source: c, ab, z. New target: z, xyx, b. The ids of the old symbols are 4 to 7 in their order."""
    changes = MEMBERS[member]
    new = TokenizerPair(CharacterTokenizer(["c", "ab", "z"]), CharacterTokenizer(["z", "xyx", "b"]))
    old = _model(OLD, 1, **changes)
    model, fresh = _begun(old, OLD, new, **changes)
    for name, table_of in SIDES.items():
        table, before, random = (table_of(each) for each in (model, old, fresh))
        if table is None or before is None or random is None:
            assert member == "no previous output" and name == "target"
            continue
        assert torch.equal(table[:FIRST], before[:FIRST])
        expected = {
            "source": [before[7], (before[5] + before[6]) / 2, random[6]],
            "target": [random[4], (2 * before[5] + before[6]) / 3, before[4]],
        }["source" if name == "source" else "target"]
        torch.testing.assert_close(table[FIRST:], torch.stack(expected), rtol=1e-6, atol=1e-7)
        assert torch.equal(table[4], expected[0]) and torch.equal(table[6], expected[2])  # to the last bit
    others = [key for key in old.state_dict() if "embedding.weight" not in key and not key.startswith("output.")]
    assert others and all(torch.equal(old.state_dict()[key], model.state_dict()[key]) for key in others)
    assert (model.output.weight is getattr(model.embedding, "weight", None)) == (member == "tied target")


@pytest.mark.parametrize("old_joint", [True, False])
@pytest.mark.parametrize("new_joint", [True, False])
def test_each_side_is_mapped_from_its_own_side(old_joint: bool, new_joint: bool):
    """`a` and `b` are known on both sides, by other ids."""
    old_pair = TokenizerPair(SOURCE, SOURCE) if old_joint else OLD
    symbols = CharacterTokenizer(["b", "a"])
    new_pair = TokenizerPair(symbols, symbols if new_joint else CharacterTokenizer(["a"]))
    old = _model(old_pair, 1)
    model, _ = _begun(old, old_pair, new_pair)
    assert torch.equal(model.encoder.embedding.weight[FIRST:], old.encoder.embedding.weight[[6, 5]])
    rows = [5] if old_joint else [7]  # of a
    rows = [*([6] if old_joint else [4]), *rows] if new_joint else rows
    for name in ("target", "output", "bias"):
        table, before = SIDES[name](model), SIDES[name](old)
        assert table is not None and before is not None and torch.equal(table[FIRST:], before[rows])


def test_a_table_for_all_stays_one():
    joint = TokenizerPair(SOURCE, SOURCE)
    wider = CharacterTokenizer([WORD_START, "c", "ba"])
    old = _model(joint, 1, tied="all")
    model, _ = _begun(old, joint, TokenizerPair(wider, wider), tied="all")
    table, before = model.output.weight, old.output.weight
    assert table is model.embedding.weight is model.encoder.embedding.weight
    assert torch.equal(table[FIRST:6], before[[4, 7]])
    torch.testing.assert_close(table[6], (before[5] + before[6]) / 2)


def test_the_same_vocabularies_give_the_same_model(tmp_path: Path):
    old = _export(tmp_path)
    fresh = _model(OLD, 2)
    beginning = begin_with(tmp_path, _recipe(tmp_path), fresh, OLD)
    assert all(torch.equal(tensor, beginning.weights[name]) for name, tensor in old.state_dict().items())
    assert beginning.weights.keys() == fresh.state_dict().keys()
    assert beginning.origin.name == "general" and len(beginning.origin.sha256) == 64
    assert "begins with general (ja-en)" in beginning.report


def test_tokenizers_that_were_replaced_meanwhile_are_noticed(tmp_path: Path):
    _export(tmp_path)
    pair = TokenizerPair(TARGET, SOURCE)
    with pytest.raises(CheckpointError, match="not those that the data was prepared with"):
        begin_with(tmp_path, _recipe(tmp_path), _model(pair, 2), pair)


def test_all_processes_must_read_the_same_model():
    class Second(ProcessGroup):
        def from_first(self, number: float | None) -> float | None:
            return float(int("a" * 12, 16))

    Origin("general", "a" * 64).require_same(Second())
    with pytest.raises(CheckpointError, match="'general' was replaced while it was read"):
        Origin("general", "b" * 64).require_same(Second())


# ----------------------------------------------------------------------------------------------------------- the recipe


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path / "runs" / "adapted")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    _export(tmp_path / "runs" / "general" / "model")
    return tmp_path / "runs" / "general"


def test_keys_of_the_model_that_are_left_out_are_its_own(model: Path, run: RunDirectory):
    recipe, directory = settle(_recipe(model), Path(), run)
    assert directory == model / "model" and recipe.model == load_config(directory).model
    sections = {"model": {"embedding": 8, "dropout": {"state": 0.5}}}
    recipe, _ = settle(_recipe(model / "model", **sections), Path(), run)
    assert recipe.model.decoder.hidden == 8
    assert (recipe.model.dropout.state, recipe.model.dropout.embedding) == (0.5, 0.1)


@pytest.mark.parametrize(
    ("section", "named"),
    [
        ({"layer_norm": True}, "model.layer_norm is true, there false"),
        ({"embedding": 9}, "model.embedding is 9, there 8"),
        ({"decoder": {"hidden": 8, "layers": 2}}, "model.decoder.layers is 2, there 1"),
        ({"attention": {"query": "current"}}, 'model.attention.query is "current", there "previous"'),
        ({"tied": "target", "cell": "lstm"}, 'model.cell is "lstm", there "gru"'),
        ({"encoder": {"kind": "transformer", "hidden": 4, "heads": 2}}, "model.encoder.heads is 2, there unknown"),
    ],
)
def test_another_model_is_refused_with_the_keys_that_differ(
    model: Path, run: RunDirectory, section: dict[str, Any], named: str
):
    with pytest.raises(UsageError) as caught:
        settle(_recipe(model, model=section), Path(), run)
    assert named in caught.value.what and str(model) in str(caught.value.where)
    assert "dropout and attention.coverage_loss" in str(caught.value.hint)


def test_what_the_model_needs_is_asked_of_the_recipe_too(tmp_path: Path, run: RunDirectory):
    _export(tmp_path / "tied", TokenizerPair(SOURCE, SOURCE), tied="all")
    separate = {"kind": "character", "joint": False}
    with pytest.raises(UsageError, match="model.tied `all` needs one joint vocabulary"):
        settle(_recipe(tmp_path / "tied", extend=True, tokenizer=separate), Path(), run)
    assert settle(_recipe(tmp_path / "tied"), Path(), run)[0].model.tied == "all"


def test_a_model_is_found_where_corpora_are(model: Path, run: RunDirectory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("S2S_DATA", str(model.parent))
    for recipe, recipe_dir in (
        (_recipe("general"), model.parent),
        (_recipe("general").with_folders(["runs"]), model.parent.parent),
        (_recipe("general"), Path("/nowhere")),
    ):
        assert settle(recipe, recipe_dir, run)[1] == model / "model"
    monkeypatch.chdir(model)
    assert settle(_recipe("model"), Path("/nowhere"), run)[1] == Path("model")


def test_no_model_a_damaged_one_and_the_own_one(model: Path, run: RunDirectory):
    with pytest.raises(UsageError, match=r"init.from .*elsewhere: there is no such directory"):
        settle(_recipe("elsewhere"), Path(), run)
    with pytest.raises(UsageError, match="a run cannot begin with its own model"):
        settle(_recipe(model), Path(), RunDirectory(model))
    config = model / "model" / "config.json"
    config.write_bytes(config.read_bytes().replace(b"general", b"special"))
    with pytest.raises(CheckpointError, match="config.json: is damaged"):
        settle(_recipe(model), Path(), run)


def test_damaged_weights_are_refused(model: Path):
    path = model / "model" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="model.safetensors: is damaged"):
        begin_with(path.parent, _recipe(model), _model(OLD, 2), OLD)


def test_a_tokenizer_section_without_effect_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="`tokenizer` has no effect"):
        _recipe("general", tokenizer={"vocabulary": 500})
    recipe = _recipe("general")
    assert "tokenizer:" not in dump_recipe(recipe)
    assert "tokenizer:" in dump_recipe(_recipe("general", extend=True, tokenizer={"vocabulary": 500}))


def test_without_init_a_recipe_is_settled(run: RunDirectory):
    recipe = _recipe("general").replaced(init=None)
    assert settle(recipe, Path(), run) == (recipe, None)
