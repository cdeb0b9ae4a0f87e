"""Every shipped recipe loads, and explains each of its keys."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

import pytest

from s2s_cli.recipe.loading import dump_recipe, load_recipe
from s2s_cli.recipe.yaml_text import YamlReader

RECIPES = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted(RECIPES.rglob("*.yaml"))
SPLITS = {"train": 31_745, "dev": 1_000, "test": 1_000}


def test_there_are_recipes():
    names = {path.stem for path in SHIPPED}
    tasks = {"multi30k-de-en", "multi30k-en-fr", "tatoeba-zh-en", "tatoeba-ja-en", "debian-synopsis", "chitchat"}
    assert names >= {"quickstart"} | tasks


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_it_loads_and_is_named_as_its_file(path: Path, tmp_path: Path):
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    dumped = tmp_path / "recipe.yaml"
    dumped.write_text(dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(dumped) == recipe


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_each_key_with_a_value_has_a_comment(path: Path):
    text = path.read_text(encoding="utf-8")
    lines = text.split("\n")
    reader = YamlReader(path.name)
    reader.read(text)
    assert text.startswith("# ")
    for key, number in reader.lines.items():
        line, before = lines[number - 1], lines[number - 2]
        opens_a_section = re.fullmatch(r"\s*(- )?\w+:", line)  # its keys explain it
        assert "#" in line or before.lstrip().startswith("#") or not key or opens_a_section, f"{path}:{number}: {line}"


def test_the_embedded_corpus_is_whole_and_attributed():
    folder = RECIPES / "data" / "tatoeba-fr-en"
    for split, pairs in SPLITS.items():
        with lzma.open(folder / f"{split}.tsv.xz", "rt", encoding="utf-8", newline="\n") as file:
            columns = [line.rstrip("\n").split("\t") for line in file]
        assert len(columns) == pairs
        assert all(len(row) == 3 and row[0] and row[1] for row in columns)
    note = (folder / "README.md").read_text(encoding="utf-8")
    assert "CC-BY 2.0 FR" in note and "contributors of Tatoeba (tatoeba.org)" in note


def test_the_sentences_to_try_are_in_four_languages():  # English, French, German, Chinese
    rows = [line.split("\t") for line in (RECIPES / "data" / "everyday.tsv").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == 40 and all(len(row) == 4 and all(row) for row in rows)
