"""The length study: its data and models are fair, and a small one runs from end to end."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from s2s_cli.evaluation.breakdown import Bucket
from s2s_cli.recipe.loading import load_recipe
from scripts import length_study
from scripts.length_study import CORPORA, FULL, MEMBERS, QUICK, Result

ROOT = Path(__file__).parents[2]


def test_models_are_of_like_size(capsys: pytest.CaptureFixture[str]) -> None:
    length_study.check_sizes(list(MEMBERS), FULL)
    assert capsys.readouterr().out.count("parameters") == len(MEMBERS)


def test_models_too_unlike_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(length_study, "SPREAD", 0.0)
    with pytest.raises(SystemExit, match="size"):
        length_study.check_sizes(["initial", "bahdanau"], FULL)


@pytest.mark.parametrize("name", MEMBERS)
def test_recipes_differ_in_the_model_alone(name: str, tmp_path: Path) -> None:
    recipe = length_study.recipe_of(name, CORPORA["bible"], FULL)
    other = length_study.recipe_of("bahdanau", CORPORA["bible"], FULL)
    assert recipe.values(without=["name", "model"]) == other.values(without=["name", "model"])
    (tmp_path / "recipe.yaml").write_text(length_study.dump_recipe(recipe), encoding="utf-8")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_verses_are_split_by_book_and_many_are_long() -> None:
    splits = length_study.bible()
    assert sum(map(len, splits.values())) == 31_077
    assert len(splits["test"]) > 1_500 and len(splits["dev"]) > 200
    lengths = [len(source.split()) for source, _ in splits["test"]]
    assert sum(length > 20 for length in lengths) > 1_000
    assert sum(length > 40 for length in lengths) > 100
    assert any("Delilah" in target for _, target in splits["test"])  # Judges
    assert not any("Delilah" in target for _, target in splits["train"])


def test_joined_sentences_stand_in_groups_of_every_size() -> None:
    splits = length_study.joined()
    everything = Counter(" ".join(source for source, _ in splits["test"]).split())
    once = Counter(" ".join(row[0] for row in length_study._rows("tatoeba-fr-en/test.tsv.xz")).split())
    for word, count in once.most_common(50):  # but for the few sentences that fill no group
        assert 0.97 * count <= everything[word] / len(length_study.GROUPS) <= count
    assert sum(len(source.split()) > 40 for source, _ in splits["test"]) > 150


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Commands that were started; translating copies."""
    started: list[str] = []

    def copy(command: str, *_: str, stdin: BinaryIO, stdout: BinaryIO) -> None:
        started.append(command)
        stdout.write(stdin.read())

    monkeypatch.setattr(length_study, "_s2s", copy)
    yield started


def test_a_model_decodes_once(tmp_path: Path, calls: list[str]) -> None:
    manifest = tmp_path / "initial" / "model" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    (tmp_path / "sources.txt").write_text("un\ndeux\u2028trois\n", encoding="utf-8")
    for _ in range(2):
        assert length_study.decode("initial", tmp_path) == ["un", "deux\u2028trois"]
    assert calls == ["translate"]
    os.utime(manifest, (2**31, 2**31))  # trained on
    length_study.decode("initial", tmp_path)
    assert calls == ["translate"] * 2


def bucket(shortest: int, longest: int, value: float) -> Bucket:
    return Bucket(shortest, longest, 7, value, value, 1.25, "nrefs:1")


def result(label: str) -> Result:
    return Result(label, 5_000_000, bucket(0, 70, 9.0), [bucket(0, 10, 12.0), bucket(51, 70, 8.0)])


def test_the_table_has_a_row_for_each_bucket() -> None:
    table = length_study.as_markdown("bible", {"initial": result("fixed"), "bahdanau": result("attention")})
    assert "| source words | sentences | fixed | attention |" in table
    assert "| 1–10 | 7 | 12.0 ± 1.2 | 12.0 ± 1.2 |" in table
    assert "| 51+ | 7 | 8.0 ± 1.2 | 8.0 ± 1.2 |" in table
    assert "| all | 7 | 9.0 ± 1.2 | 9.0 ± 1.2 |" in table


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    members = {"initial": result("fixed"), "bahdanau": result("attention")}
    length_study.draw({"bible": members, "joined": members}, tmp_path / "study.png")
    assert (tmp_path / "study.png").read_bytes().startswith(b"\x89PNG")


def test_a_small_study_runs_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--quick", "--corpus", "joined", "--model", "bahdanau", "--runs", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["length_study.py", *options])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / QUICK.folder
    if importlib.util.find_spec("matplotlib") is None:
        with pytest.raises(SystemExit, match="needs matplotlib"):
            length_study.main()
    else:
        length_study.main()
        assert (folder / "length-study.png").exists()
    results = json.loads((folder / "length-study.json").read_text())
    buckets = results["joined"]["bahdanau"]["buckets"]
    assert sum(bucket["sentences"] for bucket in buckets) == QUICK.pairs
    assert (folder / "length-study.md").read_text(encoding="utf-8") in capsys.readouterr().out
