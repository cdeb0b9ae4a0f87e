"""Exported models whose tables are tied: each lies once on disk and once in memory, also those of older files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from s2s_cli.checkpoint.model_directory import load_model_files, save_model
from s2s_cli.errors import CheckpointError
from s2s_cli.inference.reference import restore
from s2s_cli.model.building import build_model
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema
from s2s_cli.text.symbols import WordTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

WORDS = WordTokenizer(["a", "b", "c"])
TABLES = ("encoder.embedding.weight", "embedding.weight", "output.weight")


def model_of(tied: str) -> Seq2Seq:
    torch.manual_seed(1)
    config = schema.Model(
        embedding=8,
        encoder=schema.RecurrentEncoder(hidden=4),
        decoder=schema.Decoder(hidden=8),
        attention=schema.Attention(size=5),
        tied=tied,
    )
    return build_model(config, WORDS.size, WORDS.size)


def exported(directory: Path, tied: str, weights: dict[str, Tensor]) -> Path:
    shape = {"embedding": 8, "encoder": {"hidden": 4}, "decoder": {"hidden": 8}, "attention": {"size": 5}, "tied": tied}
    config = {
        "s2s_version": "0.1.0",
        "name": "tied",
        "languages": {"source": "fr", "target": "en"},
        "model": schema.Model.read(shape).values(),
        "source_vocabulary": WORDS.size,
        "target_vocabulary": WORDS.size,
        "decoding": schema.Decoding().values(),
        "max_pieces": 10,
    }
    save_model(directory, weights, config, TokenizerPair(WORDS, WORDS), "")
    return directory


def restored(directory: Path) -> Seq2Seq:
    return restore(directory, load_model_files(directory))


def under_each_name(model: Seq2Seq) -> dict[str, Tensor]:
    """As older versions wrote it: copies of a tied table, which share no memory once they are read."""
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters(remove_duplicate=False)}


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(("tied", "tables"), [("none", 3), ("target", 2), ("all", 1)])
def test_what_was_tied_is_tied_again_and_takes_its_memory_once(tmp_path: Path, tied: str, tables: int, older: bool):
    model = model_of(tied)
    directory = exported(tmp_path / "model", tied, under_each_name(model) if older else model.state_dict())
    again = restored(directory)
    found = [again.get_parameter(name) for name in TABLES]
    assert len(set(found)) == len({table.data_ptr() for table in found}) == tables
    assert sum(p.numel() for p in again.parameters()) == sum(p.numel() for p in model.parameters())
    memory = {p.data_ptr(): p.nbytes for _, p in again.named_parameters(remove_duplicate=False)}
    assert sum(memory.values()) == sum(p.nbytes for p in model.parameters())
    for (name, tensor), (expected_name, expected) in zip(
        again.named_parameters(remove_duplicate=False), model.named_parameters(remove_duplicate=False), strict=True
    ):
        assert name == expected_name and torch.equal(tensor, expected)


@pytest.mark.parametrize(("tied", "tables"), [("none", 3), ("target", 2), ("all", 1)])
def test_a_tied_table_is_written_once(tmp_path: Path, tied: str, tables: int):
    directory = exported(tmp_path / "model", tied, model_of(tied).state_dict())
    weights = load_model_files(directory).weights
    assert [name for name in TABLES if name in weights] == list(TABLES[:tables])


def test_a_table_that_is_missing_is_named(tmp_path: Path):
    weights = model_of("all").state_dict()
    del weights["encoder.embedding.weight"]
    directory = exported(tmp_path / "model", "all", weights)
    with pytest.raises(CheckpointError, match="has no tensor 'encoder.embedding.weight'"):
        restored(directory)
