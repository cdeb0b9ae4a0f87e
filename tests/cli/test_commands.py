"""Each command hands over what was asked for, and nothing else."""

from __future__ import annotations

import json
import lzma
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.cli.app import app
from s2s_cli.cli.options import SearchArguments, run_of
from s2s_cli.cores import usable_cores
from s2s_cli.errors import DataError, UsageError
from s2s_cli.inference.dividing import Division
from s2s_cli.inference.reading import Reader
from s2s_cli.recipe.loading import dump_recipe, load_recipe
from s2s_cli.search.options import RiskOptions, SamplingOptions, SearchOptions

EMBEDDED = Path(__file__).parents[2] / "recipes" / "data" / "tatoeba-fr-en" / "train.tsv.xz"
RECIPE = """\
name: small
languages: {source: fr, target: en}
data:
  train: [{tsv: train.tsv}]
  dev: [{tsv: dev.tsv}]
  test: [{name: seen, tsv: dev.tsv}]
tokenizer: {kind: character, vocabulary: 200}
"""


def invoke(*arguments: str, stdin: bytes | None = None) -> str:
    """Run a command in this process; its stdout. Errors are raised as they are."""
    result = CliRunner().invoke(app, arguments, input=stdin, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a recipe and its data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("S2S_MODEL", raising=False)
    with lzma.open(EMBEDDED, "rt", encoding="utf-8", newline="\n") as file:
        pairs = [next(file) for _ in range(220)]
    (tmp_path / "train.tsv").write_text("".join(pairs[:200]), encoding="utf-8")
    (tmp_path / "dev.tsv").write_text("".join(pairs[200:]), encoding="utf-8")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_prep_reports_json_and_does_nothing_twice(folder: Path):
    report = json.loads(invoke("prep", "recipe.yaml", "--json", "--set", "data.cleaning.max_pieces=60"))
    counts = report["splits"]["train"]
    assert counts["pairs_read"] == 200
    assert counts["pairs"] + sum(counts["rejected"].values()) == 200
    run = folder / "runs" / "small"
    with RunDirectory(run).lock(), pytest.raises(UsageError, match="is in use by process"):
        invoke("prep", "recipe.yaml")
    manifest = run / "data" / "manifest.json"
    first = manifest.stat().st_mtime_ns
    assert invoke("prep", "recipe.yaml", "--set", "data.cleaning.max_pieces=60") == ""
    assert manifest.stat().st_mtime_ns == first
    assert invoke("prep", "recipe.yaml", "--set", "data.cleaning.max_pieces=60", "--force") == ""
    assert manifest.stat().st_mtime_ns > first


def test_prep_refuses_at_once_what_the_checkpoints_of_a_run_forbid(folder: Path):
    invoke("prep", "recipe.yaml")
    run = RunDirectory(folder / "runs" / "small")
    run.recipe.write_text(dump_recipe(load_recipe(folder / "recipe.yaml")))
    (run.checkpoints / "step-1").mkdir(parents=True)
    (folder / "train.tsv").unlink()  # so that nothing could be prepared
    with pytest.raises(UsageError, match="cannot change once the run has checkpoints: tokenizer.vocabulary"):
        invoke("prep", "recipe.yaml", "--set", "tokenizer.vocabulary=300")


def test_train_gets_the_recipe_its_folder_and_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr("s2s_cli.training.run.train", lambda *arguments: calls.append(arguments))
    invoke("train", str(folder / "recipe.yaml"), "--set", "training.epochs=3", "--set", "name=other")
    invoke("train", "recipe.yaml", "--run", "elsewhere")
    (recipe, recipe_dir, run, *_), (_, _, named, *_) = calls
    assert (recipe.training.epochs, recipe_dir, run.root) == (3, folder, Path("runs/other"))
    assert named.root == Path("elsewhere")


def test_train_only_tries_where_it_is_asked_to(folder: Path, monkeypatch: pytest.MonkeyPatch):
    calls = []
    for module, name in (("run", "train"), ("dry_run", "dry_run")):
        fake = SimpleNamespace(**{name: lambda *arguments, name=name: calls.append((name, arguments[2].root))})
        monkeypatch.setitem(sys.modules, f"s2s_cli.training.{module}", fake)
    invoke("train", "recipe.yaml", "--dry-run")
    assert calls == [("dry_run", Path("runs/small"))]


def test_the_run_is_named_by_the_recipe(folder: Path):
    recipe = load_recipe(folder / "recipe.yaml")
    assert run_of(folder / "recipe.yaml", recipe, None, None) == Path("runs/small")
    assert run_of(folder / "recipe.yaml", recipe, None, Path("x")) == Path("x")


def test_the_recipe_that_a_run_keeps_is_that_of_this_run(folder: Path):
    (folder / "lock").touch()
    with RunDirectory(folder).lock():
        pass
    recipe = load_recipe(folder / "recipe.yaml")
    assert run_of(folder / "recipe.yaml", recipe, ["seed=2"], None) == folder
    assert run_of(folder / "recipe.yaml", recipe, ["name=small"], None) == Path("runs/small")
    assert run_of(folder / "recipe.yaml", recipe, None, Path("x")) == Path("x")
    assert run_of(folder / "other.yaml", recipe, None, None) == Path("runs/small")


class FakeTranslator:
    """Remembers how it was asked, and translates by shouting."""

    options = SearchOptions(beam=4, length_penalty=0.6)
    device = "cpu"
    division = Division(target="ja")
    reader = Reader(cast("Any", None), division)

    def __init__(self) -> None:
        self.loaded: tuple = ()
        self.searches: list[SearchOptions] = []

    def load(self, models, **settings):
        self.loaded = (models, settings)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def translate(self, lines, options=None, *, batch_tokens=None):
        self.searches.append(options)
        return [SimpleNamespace(text=line.upper()) for line in lines]


@pytest.fixture
def translator(monkeypatch: pytest.MonkeyPatch) -> FakeTranslator:
    fake = FakeTranslator()
    monkeypatch.setattr("s2s_cli.inference.translator.Translator.load", fake.load)
    return fake


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What `translate_stream` was called with: input, search, output."""
    calls: list[tuple] = []

    def record(translator, source, sink, search, output, view, before):
        calls.append((source.read(), search, output))
        return 1

    monkeypatch.setattr("s2s_cli.inference.stream.translate_stream", record)
    return calls


def make_model(run: Path) -> Path:
    (run / "model").mkdir(parents=True)
    (run / "model" / "config.json").write_text("{}")
    return run / "model"


def test_translate_takes_the_newest_run_and_the_models_own_search(folder, translator, streams):
    model = make_model(Path("runs/small"))
    invoke("translate", stdin=b"a\nb\n")
    machine = {"device": "auto", "threads": None, "precision": "auto", "engine": "auto", "shortlist": False}
    assert translator.loaded == ([model], machine | {"workers": usable_cores()})
    ((text, search, output),) = streams
    assert text == b"a\nb\n"
    assert search == translator.options
    assert (output.format, output.n_best, output.alignments, output.strict) == ("text", 1, False, False)


def test_translate_hands_over_every_option(folder, translator, streams):
    models = [make_model(Path(name)) for name in ("one", "two")]
    options = "--beam 7 --n-best 3 --length-penalty 0 --normalization average --min-length 1 --max-length-ratio 1.5"
    options += " --max-length-offset 2 --batch-tokens 99 --json --strict --device cpu --threads 1"
    options += " --precision bf16 --engine auto --shortlist --workers 3"
    arguments = ["--model", "one", "--model", "two", *options.split(), "dev.tsv", "train.tsv"]
    invoke("translate", *arguments)
    machine = {"device": "cpu", "threads": 1, "precision": "bf16", "engine": "auto", "shortlist": True, "workers": 3}
    assert translator.loaded == (models, machine)
    assert [text for text, _, _ in streams] == [Path(name).read_bytes() for name in ("dev.tsv", "train.tsv")]
    _, search, output = streams[0]
    assert search == SearchOptions(7, 3, "average", 0.0, 1, 1.5, 2)
    assert (output.format, output.n_best, output.alignments, output.strict) == ("json", 3, False, True)
    assert output.batch_tokens == 99


def test_greedy_is_a_beam_of_one_and_n_best_widens_the_beam():
    search = SearchOptions(beam=4, length_penalty=0.6)
    assert SearchArguments().applied_to(search) == search
    assert SearchArguments(greedy=True).applied_to(search) == SearchOptions(beam=1, length_penalty=0.6)
    assert SearchArguments().applied_to(search, n_best=9).beam == 9
    assert SearchArguments().applied_to(search, n_best=2).beam == 4
    with pytest.raises(UsageError):
        SearchArguments(beam=2).applied_to(search, n_best=3)


def test_what_is_compared_are_draws_or_the_beam():
    search = SearchOptions(beam=4, length_penalty=0.6)
    assert SearchArguments(mbr="bleu", beam=9).applied_to(search, n_best=2) == replace(
        search, beam=9, n_best=2, risk=RiskOptions("bleu")
    )
    drawn = SearchArguments(mbr="chrf", sample=True, candidates=7, seed=1).applied_to(search)
    assert (drawn.risk, drawn.sampling) == (RiskOptions("chrf", 7), SamplingOptions(seed=1))
    with pytest.raises(UsageError, match="`candidates` must be from 2 to 1,000, not 0"):
        SearchArguments(mbr="chrf", sample=True, candidates=0).applied_to(search)


def test_bleu_without_the_words_of_the_language_is_told_of(folder, translator, streams, monkeypatch):
    monkeypatch.setattr("s2s_cli.text.segmenters.find_spec", lambda name: None)
    make_model(Path("runs/small"))
    warnings: list[str] = []
    monkeypatch.setattr("s2s_cli.console.warn", warnings.append)
    invoke("translate", "--mbr", "chrf", stdin=b"")
    assert warnings == []
    invoke("translate", "--mbr", "bleu", stdin=b"")
    assert "sacrebleu[ja]" in warnings[0]


def test_groups_widen_the_beam_to_a_multiple_of_them():
    search = SearchOptions(beam=4, length_penalty=0.6)
    found = SearchArguments(diverse=3, diversity=0.9).applied_to(search)
    assert found == SearchOptions(beam=6, length_penalty=0.6, groups=3, diversity=0.9)
    assert SearchArguments(diverse=3).applied_to(search, n_best=7).beam == 9
    with pytest.raises(UsageError, match="--diverse: 3 groups"):
        SearchArguments(diverse=3, beam=4).applied_to(search)


def test_sampling_takes_what_was_given_and_a_fresh_seed_that_is_told(capsys: pytest.CaptureFixture[str]):
    search = SearchOptions(beam=4, min_length=2)
    given = SearchArguments(sample=True, temperature=0.5, top_k=9, top_p=0.8, seed=3).applied_to(search, n_best=5000)
    assert given == replace(search, n_best=5000, sampling=SamplingOptions(0.5, 9, 0.8, 3))
    assert capsys.readouterr().err == ""
    one, other = (SearchArguments(sample=True).applied_to(search).sampling for _ in range(2))
    assert one != other and one is not None
    assert f"--seed {one.seed} " in capsys.readouterr().err
    with pytest.raises(UsageError, match="top_p"):
        SearchArguments(sample=True, top_p=1.5).applied_to(search)


def test_evaluate_scores_the_test_sets_of_the_run(folder, translator):
    Path("disk.tsv").write_text("le disque\tthe disk\n")
    invoke("prep", "recipe.yaml", "--set", "data.test=[{name: a, tsv: disk.tsv}, {name: b, tsv: dev.tsv}]")
    Path("runs/small/recipe.yaml").write_text(RECIPE)
    make_model(Path("runs/small"))
    lines = invoke("evaluate", "--chrf++", "--beam", "2").splitlines()
    assert [line.split()[:2] for line in lines] == [["a", "chrF2++"], ["b", "chrF2++"]]
    assert translator.searches[0].beam == 2
    (record,) = json.loads(invoke("evaluate", "--model", "runs/small/model", "--test", "b", "--bleu", "--json"))
    assert (record["test"], record["sentences"], record["name"]) == ("b", 20, "BLEU")
    (dev,) = json.loads(invoke("evaluate", "--model", "runs/small/model", "--test", "dev", "--bleu", "--json"))
    assert dev == record | {"test": "dev"}  # the same pairs
    searches = len(translator.searches)
    with pytest.raises(DataError, match="test set `b`: no term"):
        Path("terms").write_text("disque\tdisk\n")
        invoke("evaluate", "--glossary", "terms")
    assert len(translator.searches) == searches  # nor is the first test set translated in vain
    with pytest.raises(UsageError, match="--shortlist: .* infinite"):
        invoke("evaluate", "--perplexity", "--shortlist")
    with pytest.raises(UsageError, match="no test set `c`"):
        invoke("evaluate", "--test", "c")


def test_evaluate_of_a_model_without_its_run_says_what_to_do(folder, translator):
    make_model(Path("copied"))
    with pytest.raises(UsageError, match="outside its run"):
        invoke("evaluate", "--model", "copied")
    with pytest.raises(UsageError, match="no model"):
        invoke("evaluate")


def test_evaluate_of_files_and_stdin(folder):
    Path("hyp").write_text("the cat sat on the mat\nhello there\n")
    Path("ref1").write_text("the cat is on the mat\nhello there\n")
    Path("ref2").write_text("a cat sat on the mat\nhello\n")
    arguments = ["--reference", "ref1", "--reference", "ref2", "--bleu", "--chrf", "--ter", "--json"]
    from_file = json.loads(invoke("evaluate", "--hypothesis", "hyp", *arguments))
    from_stdin = json.loads(invoke("evaluate", *arguments, stdin=Path("hyp").read_bytes()))
    assert [record | {"test": ""} for record in from_file] == [record | {"test": ""} for record in from_stdin]
    assert [record["name"] for record in from_file] == ["BLEU", "chrF2", "TER"]
    assert from_file[0]["signature"].startswith("nrefs:2|case:mixed|eff:no|tok:13a|")
    chinese = json.loads(invoke("evaluate", "--hypothesis", "hyp", *arguments, "--language", "zh"))
    assert "|tok:zh|" in chinese[0]["signature"]


def test_evaluate_says_which_metrics_find_no_words(folder, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr("s2s_cli.console.warn", told.append)
    monkeypatch.setattr("s2s_cli.text.segmenters.find_spec", lambda name: None)
    Path("hyp").write_text("日本語を話します。\n")
    invoke(
        "evaluate", "--hypothesis", "hyp", "--reference", "hyp", "--bleu", "--chrf", "--distinct", "--language", "ja"
    )
    assert [notice.partition(" splits ja ")[0] for notice in told] == ["BLEU", "--distinct"]


def test_evaluate_counts_terms_by_the_sources(folder):
    Path("hyp").write_text("die Platte\nder Datenträger\n")
    Path("src").write_text("the disk\nthe Disk\n")
    Path("terms").write_text("disk\tPlatte\ndisk\tFestplatte\n")
    arguments = ["--hypothesis", "hyp", "--reference", "hyp", "--accuracy", "--glossary", "terms", "--json"]
    (_, success) = json.loads(invoke("evaluate", *arguments, "--source", "src"))
    assert (success["name"], success["value"]) == ("term success", 100.0)
    (_, success, consistency) = json.loads(
        invoke("evaluate", *arguments, "--source", "src", "--glossary-match", "any-case")
    )
    assert (success["value"], consistency["name"], consistency["value"]) == (50.0, "term consistency", 50.0)
    with pytest.raises(UsageError, match="--source"):
        invoke("evaluate", *arguments)


def test_evaluate_compares_two_systems(folder):
    sentences = [f"the dog number {number} runs under the house" for number in range(20)]
    worse = [line.replace("house", "tree") if number % 2 else line for number, line in enumerate(sentences)]
    Path("ref").write_text("\n".join(sentences) + "\n")
    Path("old").write_text("\n".join(worse) + "\n")
    arguments = ["--reference", "ref", "--hypothesis", "ref", "--baseline", "old", "--chrf"]
    score, comparison = json.loads(invoke("evaluate", *arguments, "--json"))
    assert score["value"] == comparison["system"] == 100 > comparison["baseline"]
    assert comparison["p_value"] < 0.05
    [_, line] = invoke("evaluate", *arguments).splitlines()
    difference = comparison["system"] - comparison["baseline"]
    assert line.startswith(
        f"ref - baseline  chrF2   {difference:+.2f}  p = {comparison['p_value']:.4f}  nrefs:1|bs:1000"
    )
    [_, same] = json.loads(invoke("evaluate", "--reference", "ref", "--hypothesis", "old", *arguments[4:], "--json"))
    assert same["p_value"] == 1


def test_evaluate_refuses_files_of_unlike_length(folder):
    Path("two").write_text("a\nb\n")
    Path("three").write_text("a\nb\nc\n")
    with pytest.raises(DataError, match="2 and 3"):
        invoke("evaluate", "--hypothesis", "two", "--reference", "three")
    with pytest.raises(DataError, match="baseline and reference differ in length: 3 and 2"):
        invoke("evaluate", "--hypothesis", "two", "--baseline", "three", "--reference", "two")


def test_evaluate_knows_tasks_with_one_right_answer(folder):
    Path("hyp").write_text("Genesis\nActs\n")
    Path("ref").write_text("Genesis\nJob\n")
    arguments = ["--hypothesis", "hyp", "--reference", "ref", "--accuracy", "--character-accuracy", "--json"]
    records = json.loads(invoke("evaluate", *arguments))
    assert {record["name"]: record["value"] for record in records} == {"accuracy": 50.0, "character accuracy": 70.0}
