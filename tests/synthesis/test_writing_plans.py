"""Which models may write a corpus, where they and the result are found, and which keys go together."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s2s_cli.data.corpora import as_kept
from s2s_cli.errors import DataError, UsageError
from s2s_cli.forms import FormError
from s2s_cli.recipe.loading import dump_recipe, load_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.sealed import file_sha256
from s2s_cli.synthesis.plan import plan_of

MakeRecipe = Callable[..., Recipe]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"side": "source"}, "back/model translates en into fr, .* needs one that translates fr into en"),
        ({"by": "on"}, "on/model translates fr into en, .* needs one that translates en into fr"),
        ({"by": ["back", "on"]}, "on/model translates fr into en"),
        ({"by": "nowhere"}, "data.train.1.by nowhere: there is no such directory .*make the model first"),
        ({"by": "empty"}, "data.train.1.by .*empty: this is neither a model directory nor a run directory"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(folder: Path, recipe: MakeRecipe, keys: dict[str, Any], told: str):
    (folder / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        plan_of(recipe(**keys), 1, folder, folder / "run")
    assert re.search(told, str(caught.value))


def test_a_given_file_is_found_and_checked_as_a_corpus_is(folder: Path, recipe: MakeRecipe):
    with pytest.raises(DataError, match=r"no\.en: corpus file not found"):
        plan_of(recipe(mono="no.en"), 1, folder, folder / "run")
    with pytest.raises(DataError, match="has the SHA-256 .*, but the recipe says 0000"):
        plan_of(recipe(sha256="0" * 64), 1, folder, folder / "run")
    plan_of(recipe(sha256=file_sha256(folder / "mono.en")), 1, folder, folder / "run")


def test_the_directory_follows_from_what_the_text_depends_on(folder: Path, recipe: MakeRecipe):
    def directory(**keys: Any) -> str:
        return plan_of(recipe(**keys), 1, folder, folder / "run").directory.name

    first = directory()
    assert first.startswith("mono-") and directory() == first
    assert directory(tag="<bt>", weight=2.0) == first
    assert directory(name="a b").partition("-")[0] == "a" and directory(name="../x").startswith("---x-")
    (folder / "run" / "synthesis" / first).mkdir(parents=True)
    assert directory(name="a b") == first  # what was written under another name is not written again
    (folder / "run" / "synthesis" / first).rmdir()
    sample = {"temperature": 1.0, "top_k": 10}
    others = [
        directory(beam=2),
        directory(beam=None),
        directory(beam=None, sample=sample),
        directory(beam=None, sample=sample | {"seed": 2}),
        directory(by=["back", "back"]),
        directory(column=1),
    ]
    assert len({first, *others}) == 1 + len(others)
    (folder / "mono.en").rename(folder / "other.en")
    assert directory(mono="other.en", name="mono") == first
    (folder / "other.en").write_text("a\n")
    assert directory(mono="other.en", name="mono") != first
    (folder / "other.en").rename(folder / "mono.en")
    before = directory()
    manifest = folder / "back" / "model" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text())))  # other bytes: another model, as far as one sees
    assert directory() != before


def test_a_model_is_found_from_the_working_directory_and_beside_the_recipe(
    folder: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
):
    values = recipe()
    beside = plan_of(values, 1, folder, folder / "run").models
    assert beside == [folder / "back" / "model"]
    monkeypatch.chdir(folder / "back")
    (folder / "back" / "back").symlink_to(folder / "back" / "model")
    assert [path.resolve() for path in plan_of(values, 1, folder, folder / "run").models] == beside
    assert not plan_of(values, 1, folder, folder / "run").models[0].is_absolute()


def test_a_run_finds_its_models_again_from_anywhere(folder: Path, recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch):
    (folder / "recipes").mkdir()
    for name in ("mono.en", "pairs.tsv"):
        (folder / name).rename(folder / "recipes" / name)
    monkeypatch.chdir(folder)
    run = folder / "runs" / "a"
    kept = as_kept(recipe(), Path("recipes"), run)
    expected = plan_of(recipe(), 1, Path("recipes"), run)
    monkeypatch.chdir(run.parent.parent / "recipes")
    run.mkdir(parents=True)
    found = plan_of(kept, 1, run, run)
    assert found.directory == expected.directory
    assert [path.resolve() for path in found.models] == [folder / "back" / "model"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"side": None}, "`mono` needs `side`"),
        ({"by": None}, "`mono` needs `side`"),
        ({"mono": None, "tsv": "a", "by": None, "side": None}, "`beam` has no effect without `mono`"),
        ({"mono": None, "tsv": "a", "by": None, "beam": None}, "`side` has no effect without `mono`"),
        ({"mono": None, "tsv": "a", "side": None, "beam": None}, "`by` has no effect without `mono`"),
        ({"sample": {}}, "`beam` has no effect with `sample`"),
        ({"tsv": "a"}, "`mono` goes with no other file"),
        ({"columns": (2, 1)}, "it has `column`"),
        ({"by": []}, "by: needs 1 item or more"),
        ({"beam": None, "sample": {"top_p": 0.0}}, "greater than 0"),
        ({"beam": None, "sample": {"temperature": 9e-31}}, "must be at least 1e-30"),
        ({"side": "both"}, "one of source, target"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(recipe: MakeRecipe, keys: dict[str, Any], told: str):
    with pytest.raises(FormError, match=told):
        recipe(**keys)


@pytest.mark.parametrize("keys", [{}, {"by": ["back", "back"]}, {"beam": None, "sample": {"top_k": 10}}])
def test_the_recipe_of_a_run_can_be_read_again(tmp_path: Path, recipe: MakeRecipe, keys: dict[str, Any]):
    path = tmp_path / "recipe.yaml"
    path.write_text(dump_recipe(recipe(**keys)))
    assert load_recipe(path) == recipe(**keys)


def test_held_out_corpora_are_not_written(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    dev = "dev:\n  - {mono: a, side: target, by: b}"
    path.write_text(f"name: a\nlanguages: {{source: fr, target: en}}\ndata:\n  train: [{{tsv: a}}]\n  {dev}\n")
    with pytest.raises(UsageError, match=r"recipe.yaml:6: data.dev.0.mono: unknown key .*`data.train.mono`"):
        load_recipe(path)
