"""Training corpora with names, weights and tags, and lines that must not be learnt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from s2s_cli.data.preparation import prepare
from s2s_cli.data.prepared import PreparedData
from s2s_cli.errors import DataError
from s2s_cli.forms import FormError
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.text.tokenizer import EOS, SYMBOLS
from s2s_cli.training.building import build_order

PAIRS = [(f"chat {number} noir", f"cat {number} black") for number in range(10, 60)]
MORE = [(f"chien {number} <bt> blanc", f"dog {number} white") for number in range(10, 30)]
LONG = [("mot " * 12, "word " * 12), ("mot " * 13, "word " * 12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    corpora = {"one": PAIRS, "two": [*MORE, ("x", "x"), *LONG], "dev": PAIRS[:1]}
    for name, pairs in corpora.items():
        (tmp_path / f"{name}.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    return tmp_path


def _recipe(two: dict[str, Any] | None = None, **cleaning: Any) -> Recipe:
    data = {
        "train": [{"tsv": "one.tsv"}, {"tsv": "two.tsv", "name": "more", **(two or {})}],
        "dev": [{"tsv": "dev.tsv"}],
        "cleaning": {"max_pieces": 12, "drop_overlap": False, **cleaning},
    }
    languages = {"source": "fr", "target": "en"}
    tokenizer = {"kind": "word", "vocabulary": 300}
    return Recipe.read({"name": "tiny", "languages": languages, "tokenizer": tokenizer, "data": data})


def test_the_report_counts_each_corpus(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = prepare(_recipe(), folder, folder / "run")
    report = capsys.readouterr().err
    assert "train: 73 pairs read, 71 kept; dropped: 1 identical, 1 length\n" in report
    assert "- one: 50 pairs read, 50 kept; none dropped\n" in report
    assert "- more: 23 pairs read, 21 kept; dropped: 1 identical, 1 length\n" in report
    assert data.train_sizes == [50, 21]


def test_a_corpus_of_which_nothing_is_left_is_told_of(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "two.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS[:3]))
    data = prepare(_recipe(), folder, folder / "run")
    assert "warning: no pair of the corpus `more` is left" in capsys.readouterr().err
    assert data.train_sizes == [50, 0]


def test_a_repetition_is_counted_where_it_is_found(folder: Path) -> None:
    (folder / "two.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in [*PAIRS[:3], *MORE]))
    data = prepare(_recipe(), folder, folder / "run")
    one, two = data.manifest.splits["train"]["corpora"]
    assert (one["rejected"], two["rejected"]) == ({}, {"duplicate": 3})
    assert data.train_sizes == [50, 20]


@pytest.mark.parametrize("tokenizer", [{"kind": "word"}, {"kind": "character"}, {"kind": "sentencepiece"}])
@pytest.mark.parametrize("joint", [True, False])
def test_a_tag_stands_before_the_sources_of_its_corpus_alone(
    folder: Path, tokenizer: dict[str, Any], joint: bool
) -> None:
    values = _recipe({"tag": "<bt>"}, max_pieces=60).values()
    values["tokenizer"] |= {"vocabulary": 80, "joint": joint, **tokenizer}
    data = prepare(Recipe.read(values), folder, folder / "run")
    sources = [data.train.pair(index)[0].tolist() for index in range(len(data.train))]
    first, rest = data.train_sizes
    assert [ids.count(EOS + 1) for ids in sources] == [0] * first + [1] * rest
    assert all(ids[0] == EOS + 1 for ids in sources[first:])
    assert not joint or all(EOS + 1 not in data.train.pair(index)[1] for index in range(len(data.train)))
    assert data.tokenizers.source.pieces([EOS + 1]) == ["<bt>"]


def test_a_tag_does_not_make_a_pair_too_long(folder: Path) -> None:
    plain, tagged = (prepare(_recipe(two), folder, folder / str(bool(two))) for two in ({}, {"tag": "<bt>"}))
    assert plain.train_sizes == tagged.train_sizes
    assert max(tagged.train.source_lengths[:]) == 13


def test_a_weight_changes_the_order_and_not_the_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare(_recipe(), folder, folder / "run")
    capsys.readouterr()
    for weight, pairs in ((0.5, 50 + 10), (3.0, 50 + 63), (1.0, 71)):
        recipe = _recipe({"weight": weight})
        data = prepare(recipe, folder, folder / "run")
        assert capsys.readouterr().err.startswith("data is up to date")
        order = build_order(recipe, data)
        assert order.pairs == pairs == sum(map(len, order.epoch(0)))


def test_data_without_counts_of_corpora_is_prepared_again_if_there_are_weights(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = prepare(_recipe(), folder, folder / "run")
    del data.manifest.splits["train"]["corpora"]
    monkeypatch.setattr(PreparedData, "open", lambda directory: data)
    capsys.readouterr()
    prepare(_recipe(), folder, folder / "run")
    assert capsys.readouterr().err.startswith("data is up to date")
    prepare(_recipe({"weight": 2.0}), folder, folder / "run")
    assert "did not count the pairs of each corpus" in capsys.readouterr().err


def test_excluded_lines_are_not_learnt_and_are_an_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "secret.txt").write_text("CHAT 10, noir!\n\n")
    (folder / "secret.tsv").write_text("a\tDog 11 (white)\n")
    exclude = [{"file": "secret.txt"}, {"file": "secret.tsv", "column": 2}]
    data = prepare(_recipe(exclude=exclude), folder, folder / "run")
    one, two = data.manifest.splits["train"]["corpora"]
    assert (one["rejected"]["excluded"], two["rejected"]["excluded"]) == (1, 1)
    assert "2 excluded" in capsys.readouterr().err
    (folder / "secret.txt").write_text("Chat 10 noir\nchat 11 noir\n")
    data = prepare(_recipe(exclude=exclude), folder, folder / "run")
    assert "secret.txt (exclude.0.lines): changed content" in capsys.readouterr().err
    assert data.manifest.splits["train"]["rejected"]["excluded"] == 3
    data = prepare(_recipe(exclude=[exclude[0], {"file": "secret.tsv", "column": 1}]), folder, folder / "run")
    assert data.manifest.splits["train"]["rejected"]["excluded"] == 2
    prepare(_recipe(), folder, folder / "run")
    assert "secret.txt (exclude.0.lines): removed" in capsys.readouterr().err


def test_an_excluded_file_must_be_there_and_have_its_column(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no\.txt: corpus file not found"):
        prepare(_recipe(exclude=[{"file": "no.txt"}]), folder, folder / "run")
    with pytest.raises(DataError, match=r"one\.tsv:1: there is no column 3"):
        prepare(_recipe(exclude=[{"file": "one.tsv", "column": 3}]), folder, folder / "run")


@pytest.mark.parametrize("tag", ["bt", "<b t>", "<>", "<<bt>>", "<a,b>", "<bt>\n", *SYMBOLS])
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(FormError, match="tag"):
        _recipe({"tag": tag})


@pytest.mark.parametrize("key", ["tag: <bt>", "weight: 2.0"])
def test_held_out_corpora_have_no_tag_and_no_weight(tmp_path: Path, key: str) -> None:
    path = tmp_path / "recipe.yaml"
    corpora = f"train: [{{tsv: a}}]\n  dev:\n  - {{tsv: b, {key}}}"
    path.write_text(f"name: a\nlanguages: {{source: fr, target: en}}\ndata:\n  {corpora}\n")
    name = key.partition(":")[0]
    with pytest.raises(Exception, match=rf"recipe.yaml:6: data.dev.0.{name}: .*`data.train.{name}`"):
        load_recipe(path)
