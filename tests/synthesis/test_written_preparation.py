"""Written corpora in a preparation: made once, made again when something changed, and told of in the manifest."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s2s_cli import processes
from s2s_cli.data.preparation import prepare
from s2s_cli.data.prepared import PreparedData
from s2s_cli.errors import DataError
from s2s_cli.recipe.schema import Recipe
from s2s_cli.synthesis import corpora, writing
from s2s_cli.synthesis.corpora import tried_corpora, written_corpora
from s2s_cli.text.tokenizer import EOS

MakeRecipe = Callable[..., Recipe]


def prepared(recipe: Recipe, folder: Path) -> PreparedData:
    run = folder / "run"
    return prepare(recipe, folder, run, written=written_corpora(recipe, folder, run))


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was done by processes of their own."""
    done: list[Any] = []
    monkeypatch.setattr(corpora, "apart", lambda work, fresh: done.append(work) or work())
    return done


def test_a_written_corpus_is_learnt_from_as_others_are(folder: Path, recipe: MakeRecipe, capsys):
    data = prepared(recipe(tag="<bt>", name="news"), folder)
    report = capsys.readouterr().err
    assert "news: back writes the source of 44 lines\n" in report
    assert "- news: 44 pairs read, " in report and " empty" in report
    [first, second] = data.manifest.splits["train"]["corpora"]
    assert "made_of" not in first and second["rejected"]["empty"] == 1
    assert second["made_of"]["by"] == ["back"] and second["made_of"]["side"] == "target"
    sources = [data.train.pair(index)[0] for index in range(len(data.train))]
    assert [ids[0] == EOS + 1 for ids in sources] == [False] * first["pairs"] + [True] * second["pairs"]
    assert data.tokenizers.target.decode(data.train.pair(first["pairs"])[1].tolist()) == "the cat sat"


def test_it_is_written_once(folder: Path, recipe: MakeRecipe, works: list[Any], capsys):
    prepared(recipe(), folder)
    capsys.readouterr()
    for changed in (recipe(), recipe(weight=0.5)):
        prepared(changed, folder)
        assert capsys.readouterr().err.startswith("data is up to date")
    prepared(recipe(tag="<bt>"), folder)
    assert len(works) == 1


def test_another_model_or_search_writes_it_again(folder: Path, recipe: MakeRecipe, works: list[Any], tools, capsys):
    pair = prepared(recipe(), folder).tokenizers
    prepared(recipe(beam=2), folder)
    assert len(works) == 2 and "changed content" in capsys.readouterr().err
    prepared(recipe(), folder)
    assert len(works) == 2  # the first one is still there
    tools.export(folder / "back" / "model", ("en", "fr"), pair, seed=7)
    prepared(recipe(), folder)
    assert len(works) == 3 and "data is prepared again" in capsys.readouterr().err


@pytest.mark.parametrize("fate", ["trained further", "moved"])
def test_what_checkpoints_learnt_from_is_kept_whatever_becomes_of_the_model(
    folder: Path, recipe: MakeRecipe, works: list[Any], tools, capsys, fate: str
):
    pair = prepared(recipe(), folder).tokenizers
    (folder / "run" / "checkpoints" / "step-3").mkdir(parents=True)
    prepared(recipe(), folder)
    assert "model" not in capsys.readouterr().err
    if fate == "moved":
        (folder / "back").rename(folder / "elsewhere")
    else:
        tools.export(folder / "back" / "model", ("en", "fr"), pair, seed=7)
    prepared(recipe(weight=0.5, name="news"), folder)
    told = capsys.readouterr().err
    assert "news: the model has changed; the checkpoints need what it wrote before" in told and "is up to date" in told
    assert len(works) == 1


@pytest.mark.parametrize("change", ["search", "lines", "damage"])
def test_another_corpus_than_checkpoints_learnt_from_is_not_taken_for_it(
    folder: Path, recipe: MakeRecipe, works: list[Any], change: str
):
    prepared(recipe(), folder)
    (folder / "run" / "checkpoints" / "step-3").mkdir(parents=True)
    if change == "damage":
        [text] = (folder / "run" / "synthesis").glob("*/source.txt")
        text.write_bytes(text.read_bytes()[:-1])
        prepared(recipe(), folder)
    else:
        with (folder / "mono.en").open("a") as mono:
            mono.write("another line\n" if change == "lines" else "")
        with pytest.raises(DataError, match="is not that of the checkpoints"):
            prepared(recipe(beam=2 if change == "search" else 1), folder)
    assert len(works) == 2


def test_a_damaged_one_is_written_again(folder: Path, recipe: MakeRecipe, works: list[Any], capsys):
    prepared(recipe(), folder)
    [text] = (folder / "run" / "synthesis").glob("*/source.txt")
    content = text.read_bytes()
    text.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    capsys.readouterr()
    prepared(recipe(), folder)
    told = capsys.readouterr().err
    assert f"mono is written again: {text}: is damaged" in told and "data is up to date" in told
    assert text.read_bytes() == content and len(works) == 2


def test_two_corpora_of_the_same_text_differ_in_what_is_drawn(folder: Path, recipe: MakeRecipe, works: list[Any]):
    values = recipe(beam=None, sample={"seed": 1}).values()
    values["data"]["train"].append(recipe(beam=None, sample={"seed": 2}).data.train[1].values())
    values["data"]["train"].append(values["data"]["train"][1])
    data = prepared(Recipe.read(values), folder)
    assert len(works) == 1 and len(list((folder / "run" / "synthesis").iterdir())) == 2
    counts = data.manifest.splits["train"]["corpora"]
    assert counts[2]["pairs"] > 10
    assert counts[3]["pairs"] == 0 and counts[3]["rejected"]["duplicate"] > 40


def test_a_trial_writes_a_sample_elsewhere(folder: Path, recipe: MakeRecipe, capsys, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(writing, "PROBE", 4)
    monkeypatch.setattr(writing, "SECONDS", 0.0)
    trial, run = folder / "run" / ".dry-run", folder / "run"
    [(number, corpus)] = tried_corpora(recipe(), folder, run, trial).items()
    assert (number, corpus.stands_for, len(list(corpus.pairs()))) == (1, 44, 5)  # four, and once more
    assert corpus.files["source"].path.is_relative_to(trial) and not (run / "synthesis").exists()
    assert "mono: writing the source of 44 lines will take about" in capsys.readouterr().err
    written = written_corpora(recipe(), folder, run)
    assert tried_corpora(recipe(), folder, run, trial) == written and written[1].stands_for is None


def test_recipes_without_such_corpora_need_no_process(folder: Path, recipe: MakeRecipe, works: list[Any]):
    values = recipe().values()
    del values["data"]["train"][1]
    assert written_corpora(Recipe.read(values), folder, folder / "run") == {} == dict.fromkeys(works)


def test_a_new_python_writes_it(folder: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, capfd):
    monkeypatch.setattr(corpora, "apart", processes.apart)
    written = written_corpora(recipe(), folder, folder / "run")
    assert len(list(written[1].pairs())) == 44
    assert capfd.readouterr().err == "mono: back writes the source of 44 lines\n"
    assert multiprocessing.active_children() == []
