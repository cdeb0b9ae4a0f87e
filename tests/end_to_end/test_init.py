"""Runs that begin with an exported model: what they begin with, and that they need it only then."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from digits import assert_same_outcome, content, log_of, train_here, write_task

from s2s_cli.checkpoint.model_directory import load_model_files
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.data.preparation import prepare
from s2s_cli.data.prepared import open_prepared
from s2s_cli.errors import CheckpointError, DataError, Stopped, UsageError
from s2s_cli.inference.reference import restore
from s2s_cli.inference.translator import Translator
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.text.tokenizer import UNK
from s2s_cli.training import dry_run
from s2s_cli.training.building import build_trainer, build_validator
from s2s_cli.training.initial import settle
from s2s_cli.training.trainer import Trainer

STILL = ("training.learning_rate=1e-12", "training.epochs=1", "training.weight_decay=0")


@pytest.fixture(autouse=True, scope="module")
def hurry() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That of the general model."""
    return write_task(tmp_path_factory.mktemp("task"), pairs=94)


@pytest.fixture(scope="module")
def general(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "general"
    train_here(recipe, run, "training.epochs=3")
    return run


@pytest.fixture(scope="module")
def special(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a run that begins with the general model: other pairs, with a word more, and no `model` section."""
    folder = tmp_path_factory.mktemp("special")
    other = write_task(folder, pairs=60)
    text = other.read_text(encoding="utf-8")
    before, _, rest = text.partition("tokenizer:")
    other.write_text(before + "training:" + rest.partition("training:")[2], encoding="utf-8")
    with (folder / "train.tsv").open("a", encoding="utf-8") as file:
        file.write("dix dix\tten ten\nun dix\tone ten\n" * 3)
    return other


def _from(model: Path, *, extend: bool = False) -> tuple[str, ...]:
    wanted = ("tokenizer={kind: word, vocabulary: 40, joint: true}",) if extend else ()
    return (f"init={{from: {model}, extend: {str(extend).lower()}}}", *wanted)


def _translations(run: Path) -> list[str]:
    lines = ["un deux trois", "neuf", "zéro sept sept un", "six dix"]
    return [translation.text for translation in Translator.load(run).translate(lines)]


def test_a_run_that_learns_nothing_translates_as_its_model(general: Path, special: Path, tmp_path: Path):
    run = tmp_path / "run"
    train_here(special, run, *_from(general), *STILL)
    old, new = load_model_files(general / "model"), load_model_files(run / "model")
    assert old.tokenizers.source.to_bytes() == new.tokenizers.source.to_bytes()
    for name, tensor in old.weights.items():
        torch.testing.assert_close(new.weights[name], tensor, rtol=0, atol=1e-8)
    assert _translations(run) == _translations(general)
    kept = load_recipe(run / "recipe.yaml")
    assert kept.model == load_recipe(general / "recipe.yaml").model
    card = (run / "model" / "README.md").read_text(encoding="utf-8")
    assert f"training began with the model digits (SHA-256 of its weights `{old.checksum}`)" in card


def test_the_loss_on_dev_before_the_first_update_is_that_of_the_model(general: Path, special: Path, tmp_path: Path):
    recipe, initial = settle(load_recipe(special, _from(general)), special.parent, RunDirectory(tmp_path))
    prepared = prepare(recipe, special.parent, tmp_path, initial)
    trainer, validator = build_trainer(recipe, prepared, initial=initial), build_validator(recipe, prepared)
    old = restore(general / "model", load_model_files(general / "model"))
    ours = validator.measure(trainer.model, trainer.autocast())
    assert ours == validator.measure(old, trainer.autocast())
    assert validator.measure(build_trainer(recipe, prepared).model, trainer.autocast()).loss > ours.loss + 0.1


def test_words_of_both_vocabularies_keep_their_vectors(general: Path, special: Path, tmp_path: Path, capfd):
    """From separate vocabularies to a joint one, of the words of both sides and of new ones."""
    run = tmp_path / "run"
    train_here(special, run, *_from(general, extend=True), *STILL)
    assert "target symbols: 14 kept, 0 from their parts, 11 random" in capfd.readouterr().err
    old, new = load_model_files(general / "model"), load_model_files(run / "model")
    assert new.tokenizers.joint and not old.tokenizers.joint
    for side, table in (("source", "encoder.embedding.weight"), ("target", "output.weight"), ("target", "output.bias")):
        before, after = getattr(old.tokenizers, side), getattr(new.tokenizers, side)
        ids = [after.encode([word])[0][0] for word in before.pieces(range(4, before.size))]
        torch.testing.assert_close(new.weights[table][ids], old.weights[table][4:], rtol=0, atol=1e-8)
    assert UNK not in new.tokenizers.source.encode(["dix ten"])[0]


@pytest.mark.parametrize("extend", [False, True])
def test_a_run_resumes_without_its_model(
    general: Path, special: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extend: bool
):
    model, whole, run = Path(shutil.copytree(general, tmp_path / "model")), tmp_path / "whole", tmp_path / "run"
    keys = (*_from(model, extend=extend), "training.epochs=2")
    train_here(special, whole, *keys)
    update = Trainer.update

    def interrupted(trainer: Trainer, batches):
        result = update(trainer, batches)
        if trainer.position.update == 9:
            os.kill(os.getpid(), signal.SIGTERM)
        return result

    monkeypatch.setattr(Trainer, "update", interrupted)
    with pytest.raises(Stopped):
        train_here(special, run, *keys)
    monkeypatch.undo()
    shutil.rmtree(model)
    train_here(special, run, *keys)
    assert_same_outcome(run, whole)
    train_here(run / "recipe.yaml", run)  # as it lies there
    assert log_of(run) == log_of(whole)


def test_a_test_set_can_be_added_without_the_model(general: Path, special: Path, tmp_path: Path):
    model, run = Path(shutil.copytree(general, tmp_path / "model")), tmp_path / "run"
    train_here(special, run, *_from(model, extend=True), *STILL)
    before, shards = content(run / "model"), content(run / "data" / "train")
    shutil.rmtree(model)
    more = "data.test=[{name: held-out, tsv: test.tsv}, {name: more, tsv: dev.tsv}]"
    train_here(special, run, *_from(model, extend=True), *STILL, more)
    assert open_prepared(run).test_names == ["held-out", "more"]
    assert content(run / "data" / "train") == shards
    assert content(run / "model")["model.safetensors"] == before["model.safetensors"]


def test_other_tokenizers_are_prepared_with_again(general: Path, special: Path, recipe: Path, tmp_path: Path, capfd):
    model, run = Path(shutil.copytree(general, tmp_path / "model")), RunDirectory(tmp_path / "run")

    def prepared_again() -> bool:
        values, initial = settle(load_recipe(special, _from(model)), special.parent, run)
        capfd.readouterr()
        prepare(values, special.parent, run.root, initial)
        messages = capfd.readouterr().err
        assert ("up to date" in messages) != ("prepared in" in messages)
        return "data is prepared again: init.source: " in messages

    assert [prepared_again(), prepared_again()] == [False, False]
    train_here(recipe, tmp_path / "smaller", "tokenizer.vocabulary=9", "training.updates=1")
    shutil.rmtree(model)
    shutil.copytree(tmp_path / "smaller", model)
    assert [prepared_again(), prepared_again()] == [True, False]


def test_lost_tokenizers_are_taken_from_the_model_again(general: Path, special: Path, tmp_path: Path):
    run, model = tmp_path / "run", Path(shutil.copytree(general, tmp_path / "model"))
    train_here(special, run, *_from(model), *STILL)
    before = content(run / "data" / "train")
    (run / "data" / "source.model").write_bytes(b"{")
    with pytest.raises(DataError, match="the tokenizers of this run are lost"):
        train_here(special, run, *_from(model), *STILL)
    shutil.rmtree(run / "data")
    train_here(special, run, *_from(model), *STILL)
    assert content(run / "data" / "train") == before


def test_where_a_run_began_cannot_change(general: Path, special: Path, tmp_path: Path):
    run, other = tmp_path / "run", Path(shutil.copytree(general, tmp_path / "other"))
    train_here(special, run, *_from(general), *STILL)
    with pytest.raises(UsageError, match="cannot change once the run has checkpoints: init.from"):
        train_here(special, run, *_from(other), *STILL)


def test_a_dry_run_begins_with_the_model(general: Path, special: Path, tmp_path: Path, monkeypatch, capfd):
    monkeypatch.setattr(dry_run, "SECONDS", 0.1)
    dry_run.dry_run(load_recipe(special, _from(general)), special.parent, RunDirectory(tmp_path / "run"))
    messages = capfd.readouterr().err
    assert "begins with digits (fr-en)" in messages and "all checks passed" in messages
    assert sorted(os.listdir(tmp_path / "run")) == ["data", "lock"]


def test_a_dry_run_lets_a_model_be_refined_slowly_but_not_be_spoilt(
    general: Path, special: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(dry_run, "SECONDS", 0.0)

    def try_at(rate: str) -> None:
        changed = load_recipe(special, [*_from(general), f"training.learning_rate={rate}"])
        dry_run.dry_run(changed, special.parent, RunDirectory(tmp_path / "run"))

    try_at("1e-9")
    assert "all checks passed" in capfd.readouterr().err
    with pytest.raises(UsageError, match=r"the loss of one batch rises: from [0-9.]+ to [0-9.]+"):
        try_at("10")


def test_a_damaged_model_leaves_nothing(general: Path, special: Path, tmp_path: Path):
    model = Path(shutil.copytree(general, tmp_path / "model"))
    (model / "model" / "source.model").write_bytes(b"{" * (model / "model" / "source.model").stat().st_size)
    with pytest.raises(CheckpointError, match="source.model: is damaged"):
        train_here(special, tmp_path / "run", *_from(model))
    assert os.listdir(tmp_path / "run") == ["lock"]


def test_a_tag_that_the_kept_tokenizers_lack_is_refused(general: Path, special: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"the model of `init` has no tag <bt> \(leave the tag out, or give init"):
        train_here(special, tmp_path / "run", *_from(general), *STILL, "data.train.0.tag=<bt>")
    train_here(special, tmp_path / "tagged", *_from(general, extend=True), *STILL, "data.train.0.tag=<bt>")
    assert "<bt>" in load_model_files(tmp_path / "tagged" / "model").tokenizers.source.tags
    train_here(special, tmp_path / "again", *_from(tmp_path / "tagged"), *STILL, "data.train.0.tag=<bt>")
    assert "<bt>" in load_model_files(tmp_path / "again" / "model").tokenizers.source.tags
