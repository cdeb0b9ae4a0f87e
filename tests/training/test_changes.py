"""What changed in a recipe since the last start."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.errors import UsageError
from s2s_cli.recipe.loading import dump_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.changes import Basis, recipe_differences, settings_of, tell_changes

CORPUS = {"source": "a", "target": "b"}
MINIMAL = {"name": "m", "languages": {"source": "de", "target": "en"}, "data": {"train": [CORPUS], "dev": [CORPUS]}}


def test_differences_name_each_changed_key():
    old = Recipe.read(MINIMAL)
    changes = {
        "training": {"learning_rate": 3e-4},
        "data": MINIMAL["data"] | {"test": [{"tsv": "t", "name": "no"}]},
        "validation": {"every": None},
    }
    assert recipe_differences(settings_of(old), settings_of(old)) == []
    told = list(map(str, recipe_differences(settings_of(old), settings_of(Recipe.read(MINIMAL | changes)))))
    assert "training.learning_rate: 0.001 -> 0.0003" in told
    assert "validation.every: 500 -> null" in told
    assert "data.test.0.name: (absent) -> no" in told
    assert not any("epochs" in line for line in told)


def test_of_a_corpus_that_is_added_only_what_it_has_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    run = RunDirectory(tmp_path)
    run.recipe.write_text(dump_recipe(Recipe.read(MINIMAL)), encoding="utf-8")
    data = MINIMAL["data"] | {"test": [{"tsv": "more.tsv"}]}
    tell_changes(Recipe.read(MINIMAL | {"data": data, "validation": {"every": None}}), run)
    told = capfd.readouterr().err
    assert "changed recipe: data.test.0.tsv: (absent) -> more.tsv" in told
    assert "changed recipe: validation.every: 500 -> null" in told
    assert "(absent) -> null" not in told and "-> (absent)" not in told


def test_a_text_that_ends_like_a_change_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    run = RunDirectory(tmp_path)
    run.recipe.write_text(dump_recipe(Recipe.read(MINIMAL)), encoding="utf-8")
    tell_changes(Recipe.read(MINIMAL | {"data": MINIMAL["data"] | {"test": [{"tsv": "t: null -> (absent)"}]}}), run)
    assert "changed recipe: data.test.0.tsv: (absent) -> t: null -> (absent)" in capfd.readouterr().err


def test_with_weights_the_order_depends_on_where_files_are_cut(tmp_path: Path):
    corpora = [CORPUS, CORPUS | {"weight": 2.0}]
    recipe, plain = (Recipe.read(MINIMAL | {"data": MINIMAL["data"] | {"train": c}}) for c in (corpora, [CORPUS] * 2))

    def basis(recipe: Recipe, *sizes: int) -> Basis:
        prepared: Any = SimpleNamespace(manifest=SimpleNamespace(learnt=""), train_sizes=list(sizes))
        return Basis.of(recipe, prepared)

    run = RunDirectory(tmp_path)
    assert basis(recipe, 3, 4).carries(basis(recipe, 3, 4), run)
    assert not basis(recipe, 3, 4).carries(basis(recipe, 4, 3), run)
    assert basis(plain, 3, 4).carries(basis(plain, 4, 3), run)
    older = basis(recipe, 3, 4)
    del older.order["sizes"]  # as versions before wrote it
    assert basis(recipe, 3, 4).carries(older, run)


def test_what_is_protected_is_fixed_and_how_often_it_is_marked_is_not():
    def changed(old: dict[str, object], new: dict[str, object]) -> bool:
        recipes = [settings_of(Recipe.read(MINIMAL | {"data": MINIMAL["data"] | data})) for data in (old, new)]
        return any(difference.is_fixed("loss") for difference in recipe_differences(*recipes))

    assert changed({}, {"protect": {}})
    assert changed({"terms": {}}, {})
    assert changed({"protect": {"symbols": 4}}, {"protect": {"symbols": 5}})
    assert not changed({"protect": {"share": 0.1}}, {"protect": {"share": 0.2}})
    assert not changed({"terms": {"share": 0.1}}, {"terms": {"share": 0.2}})


@pytest.mark.parametrize(
    ("change", "metric", "beam", "is_refused"),
    [
        ({"split": "long"}, "bleu", 1, True),
        ({"min_length": 2}, "chrf", 1, True),
        ({"min_length": 2}, "loss", 1, False),
        ({"length_penalty": 0.5}, "bleu", 1, False),
        ({"length_penalty": 0.5}, "bleu", 2, True),
        ({"beam": 2}, "bleu", 2, False),
        ({"batch_tokens": 9}, "bleu", 2, False),
    ],
)
def test_of_the_search_what_scores_depend_on_is_refused(
    change: dict[str, object], metric: str, beam: int, is_refused: bool, tmp_path: Path
):
    validation = {"metric": metric, "beam": beam}
    older, newer = (
        Basis("", {}, settings_of(Recipe.read(MINIMAL | {"validation": validation, "decoding": decoding})))
        for decoding in ({}, change)
    )
    with pytest.raises(UsageError, match=f"decoding.{next(iter(change))}") if is_refused else nullcontext():
        newer.require_same_search(older, RunDirectory(tmp_path))
    newer.require_same_search(Basis("", {}), RunDirectory(tmp_path))  # of an older version
