"""What a model writes is the same for any number of workers, and with or without interruptions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s2s_cli import Translator
from s2s_cli.errors import CheckpointError, DataError
from s2s_cli.recipe.schema import Recipe
from s2s_cli.sealed import SealedDirectory
from s2s_cli.search.options import SearchOptions
from s2s_cli.synthesis import writing
from s2s_cli.synthesis.plan import Plan, WrittenManifest, plan_of
from s2s_cli.synthesis.writing import write_corpus
from s2s_cli.text.files import read_lines

MakeRecipe = Callable[..., Recipe]
SEARCHES = [{"beam": 1}, {"beam": 3}, {"beam": None}, {"beam": None, "sample": {"top_k": 10, "seed": 3}}]


@pytest.fixture
def plan(folder: Path, recipe: MakeRecipe) -> Callable[..., Plan]:
    def make(run: str = "run", shard: int = 2000, **keys: Any) -> Plan:
        return replace(plan_of(recipe(**keys), 1, folder, folder / run), shard=shard)

    return make


def lines_of(plan: Plan) -> tuple[list[str], list[str]]:
    source, target = (list(read_lines(plan.directory / name)) for name in ("source.txt", "target.txt"))
    return source, target


class Interruption(Exception):
    pass


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], list[int]]:
    """Records the first line of each call that translates, and raises at one of them."""
    translate = Translator.translate

    def start(at: int | None = None) -> list[int]:
        calls: list[int] = []

        def recorded(self: Translator, lines: list[str], *arguments: Any, first: int = 0) -> Any:
            if len(calls) == at:
                raise Interruption
            calls.append(first)
            return translate(self, lines, *arguments, first=first)

        monkeypatch.setattr(Translator, "translate", recorded)
        return calls

    return start


@pytest.mark.parametrize("keys", SEARCHES, ids=["greedy", "beam", "its own beam", "drawn"])
def test_neither_workers_nor_shards_nor_interruptions_change_the_text(
    plan: Callable[..., Plan], keys: dict[str, Any], counted: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("s2s_cli.inference.translator.LEAST_SHARE", 16)
    whole = plan("whole", **keys)
    write_corpus(whole, workers=1)
    other = plan("other", shard=7, **keys)
    calls = counted(4)
    with pytest.raises(Interruption):
        write_corpus(other, workers=2)
    assert calls == [0, 7, 14, 21] and not other.directory.exists()
    calls = counted()
    write_corpus(other, workers=2)
    assert calls[-3:] == [28, 35, 42] and not {0, 7, 14, 21} & set(calls[-3:])
    assert [path.name for path in other.directory.parent.iterdir()] == [other.directory.name]
    for name in ("source.txt", "target.txt", "manifest.json"):
        assert (other.directory / name).read_bytes() == (whole.directory / name).read_bytes()


def test_each_line_is_translated_as_it_is_alone(plan: Callable[..., Plan], folder: Path):
    written = plan()
    write_corpus(written)
    source, target = lines_of(written)
    assert target == list(read_lines(folder / "mono.en"))
    translator = Translator.load(folder / "back")
    assert source == [translator.translate([line], SearchOptions(beam=1))[0].text for line in target]
    assert source[1] == "" and all(source[:1] + source[2:])


def test_the_given_side_may_be_the_source_and_a_column(plan: Callable[..., Plan], folder: Path):
    (folder / "mono.tsv").write_text("1\tab\r\n2\tbc d\r\n\n")
    written = plan(mono="mono.tsv", column=2, side="source", by="on")
    write_corpus(written)
    source, target = lines_of(written)
    assert source == ["ab", "bc d", ""]
    found = Translator.load(folder / "on").translate(source, SearchOptions(beam=1))
    assert target == [translation.text for translation in found]


def test_several_models_are_an_ensemble(plan: Callable[..., Plan], folder: Path, tools):
    pair = Translator.load(folder / "back").tokenizers
    tools.export(folder / "third", ("en", "fr"), pair, seed=9)
    alone, together = plan(), plan(by=["back", "third"])
    for each in (alone, together):
        write_corpus(each)
    source, target = lines_of(together)
    ensemble = Translator.load([folder / "back", folder / "third"])
    assert source == [translation.text for translation in ensemble.translate(target, SearchOptions(beam=1))]
    assert source != lines_of(alone)[0]


def test_another_seed_draws_another_corpus(plan: Callable[..., Plan]):
    drawn = []
    for seed in (1, 1, 2):
        written = plan(str(len(drawn)), beam=None, sample={"seed": seed})
        write_corpus(written)
        drawn.append(lines_of(written)[0])
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_shard_that_is_not_whole_is_written_again(plan: Callable[..., Plan], counted: Callable[..., list[int]]):
    whole, other = plan("whole"), plan("other", shard=10)
    write_corpus(whole)
    counted(3)
    with pytest.raises(Interruption):
        write_corpus(other)
    [shard] = other.directory.with_name(f"{other.directory.name}.unfinished").glob("00000001-*.txt")
    shard.write_bytes(shard.read_bytes()[:40])
    calls = counted()
    write_corpus(other)
    assert calls[-3:] == [10, 30, 40]
    assert lines_of(other) == lines_of(whole)


def test_shards_of_another_text_are_none_of_this_one(plan: Callable[..., Plan], folder: Path):
    whole, other, mono = plan("whole"), plan("other", shard=10), folder / "mono.en"
    write_corpus(whole)
    own = mono.read_text()
    mono.write_text("".join(f"{line}\n" for line in reversed(own.splitlines())))
    with pytest.raises(DataError, match="changed while it was translated"):
        write_corpus(other)
    mono.write_text(own)
    write_corpus(other)
    assert lines_of(other) == lines_of(whole)


def test_a_model_that_changes_before_it_is_loaded_makes_no_corpus(plan: Callable[..., Plan], folder: Path, tools):
    written = plan()
    tools.export(folder / "back" / "model", ("en", "fr"), Translator.load(folder / "back").tokenizers, seed=9)
    with pytest.raises(DataError, match="a model was changed since the work began"):
        write_corpus(written)
    assert not written.directory.exists()


def test_a_line_that_is_not_text_is_named_before_anything_is_translated(
    plan: Callable[..., Plan], folder: Path, counted: Callable[..., list[int]]
):
    calls = counted()
    (folder / "mono.en").write_bytes(b"ab\ncd\n\xff\n")
    with pytest.raises(DataError, match=r"mono\.en:3: byte 0xff is not UTF-8"):
        write_corpus(plan())
    assert calls == []


def test_a_file_that_changes_meanwhile_makes_no_corpus(plan: Callable[..., Plan], folder: Path):
    written = plan()
    (folder / "mono.en").write_text("another line\n")
    with pytest.raises(DataError, match=r"mono\.en: changed while it was translated"):
        write_corpus(written)
    assert not written.directory.exists()


def test_an_empty_file_makes_an_empty_corpus(plan: Callable[..., Plan], folder: Path):
    (folder / "mono.en").write_text("")
    written = plan()
    write_corpus(written)
    assert lines_of(written) == ([], [])


def test_what_it_is_made_of_stands_in_the_manifest(plan: Callable[..., Plan], folder: Path):
    written = plan()
    write_corpus(written)
    manifest = SealedDirectory.open(written.directory, WrittenManifest).manifest
    assert isinstance(manifest, WrittenManifest) and manifest.made_of == written.made_of
    assert (manifest.made_of["file"], manifest.made_of["by"], manifest.made_of["beam"]) == ("mono.en", ["back"], 1)
    (written.directory / "source.txt").write_bytes(b"")
    with pytest.raises(CheckpointError):
        SealedDirectory.open(written.directory, WrittenManifest)


def test_the_estimate_is_that_of_lines_from_all_over_the_file(plan: Callable[..., Plan], monkeypatch):
    times = iter([0.0, 3.0, 10.0, 10.5, 20.0, 22.0])
    monkeypatch.setattr(writing.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(writing, "PROBE", 4)
    monkeypatch.setattr(writing, "SECONDS", 6.0)
    tried = plan()
    with Translator.load(tried.models) as translator:
        trial = writing.try_lines(tried, translator, 44)
    lines = list(tried.lines.read())
    assert trial.given == lines[::2]  # of 4 lines in 3 s, 8 in 0.5 s and 32 in 2 s the last ones count
    assert trial.seconds == pytest.approx(2.0 / 22 * 44)
    found = Translator.load(tried.models).translate(trial.given, SearchOptions(beam=1))
    assert trial.written == [translation.text for translation in found]


def test_of_many_lines_it_is_said_how_long_they_take(plan: Callable[..., Plan], monkeypatch, capsys):
    monkeypatch.setattr(writing, "MANY", 40)
    write_corpus(plan())
    assert re.search(r"mono: back writes the source of 44 lines; this takes about [\d.]+ s\n", capsys.readouterr().err)
