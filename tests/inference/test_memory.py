"""Translation memory: what is taken from it, what is only shown, and that the rest is translated as without it."""

from __future__ import annotations

import io
import json
import lzma
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from copy_model import GREEDY, copy_translator
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from s2s_cli.documents.translation import translate_file
from s2s_cli.errors import DataError, MachineError, UsageError
from s2s_cli.inference.memory import Lookup, TranslationMemory
from s2s_cli.inference.output import OutputOptions
from s2s_cli.inference.stream import translate_stream
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.text.languages import Languages

PAIRS = [
    ("Ab  cd.", "from the memory"),
    ("Ab cd.", "a second one"),
    ("", "x"),
    ("y", " "),
    ("Long sentence here.", "L"),
]
DE_EN = Languages("de", "en")

letters = st.text("aabé 𝒳", max_size=9)


def remembering(fuzzy: float | None = None, pairs: Sequence[tuple[str, str]] = PAIRS) -> Translator:
    translator = copy_translator()
    translator.reader = replace(translator.reader, memory=Lookup(TranslationMemory(pairs), fuzzy))
    return translator


def records(lines: str, fuzzy: float, n_best: int = 1) -> list[dict]:
    sink, options = io.BytesIO(), OutputOptions(format="json", n_best=n_best)
    translate_stream(remembering(fuzzy), io.BytesIO(lines.encode()), sink, SearchOptions(beam=n_best), options)
    return [json.loads(line) for line in sink.getvalue().decode().splitlines()]


def test_an_entry_is_found_whatever_its_white_space_but_not_in_another_case():
    memory = TranslationMemory([*PAIRS, ("cafe\u0301", "coffee")])
    assert len(memory) == 3
    for text in ("Ab cd.", " Ab\u00a0cd. ", "Ab\tcd."):
        assert memory.exact(text).target == "from the memory"
    assert memory.exact("caf\u00e9").target == "coffee"
    assert memory.exact("ab cd.") is None
    assert memory.exact("") is None


@settings(max_examples=150)
@given(st.lists(letters, max_size=12), letters, st.sampled_from([0.01, 0.3, 0.5, 0.75, 0.99, 1.0]))
def test_the_most_similar_entry_is_that_of_comparing_all(sources: list[str], text: str, least: float):
    memory = TranslationMemory((source, "t") for source in sources)
    found, key = memory.fuzzy(text, least), " ".join(text.split())
    keys = {" ".join(source.split()) for source in sources} - {""}
    similarities = [Levenshtein.normalized_similarity(key, source) for source in keys if key]
    best = max(similarities, default=0.0)
    if best >= least:
        assert found is not None and found.similarity == pytest.approx(best)
        assert Levenshtein.normalized_similarity(key, found.source) == pytest.approx(best)
    else:
        assert found is None


def test_very_many_equal_characters_are_counted_as_far_as_needed():
    memory = TranslationMemory([("a" * 700, "t")])
    assert memory.fuzzy("a" * 680, 0.9).similarity == pytest.approx(680 / 700)
    assert memory.fuzzy("a" * 300, 0.9) is None


def test_exact_entries_are_taken_and_similar_ones_shown():
    exact, similar, other, blank = records("Ab cd.\nLong sentence there.\nq\n\n", 0.75)
    assert (exact["translation"], exact["origin"]) == ("from the memory", "memory")
    assert exact["match"] == {"source": "Ab cd.", "target": "from the memory", "similarity": 1.0}
    assert exact["score"] is None and exact["tokens"] == []
    assert (similar["translation"], similar["origin"]) == ("lONG SENTENCE THERE.", "model")
    assert similar["match"] == {"source": "Long sentence here.", "target": "L", "similarity": 0.95}
    assert (other["translation"], other["match"]) == ("Q", None)
    assert (blank["translation"], blank["match"]) == ("", None)
    assert [record["match"] for record in records("Long sentence there.\n", 1.0)] == [None]


def test_each_line_of_json_has_the_list_of_candidates_that_was_asked_for():
    exact, blank, other = records("Ab cd.\n\nq\n", 1.0, n_best=2)
    assert [(each["translation"], each["score"]) for each in exact["n_best"]] == [("from the memory", None)]
    assert blank["n_best"] == []
    assert [each["score"] for each in other["n_best"]] != [None, None] and len(other["n_best"]) == 2
    assert all("n_best" not in record for record in records("Ab cd.\n\nq\n", 1.0))


def test_without_a_memory_nothing_is_said_of_one():
    assert "origin" not in json.loads(copy_translator().translate(["a"])[0].to_json(0))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (OutputOptions(), "from the memory\nQ\n"),
        (OutputOptions(alignments=True, min_confidence=0.9), "from the memory ||| \nQ ||| 0-0\n"),
        (OutputOptions(n_best=2), "0 ||| from the memory ||| 0.0000\n1 ||| Q ||| "),
    ],
)
def test_text_output_has_the_entry(options: OutputOptions, expected: str):
    sink = io.BytesIO()
    search = SearchOptions(beam=2) if options.n_best > 1 else GREEDY
    translate_stream(remembering(), io.BytesIO(b"Ab cd.\nq\n"), sink, search, options)
    assert sink.getvalue().decode().startswith(expected)


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["Ab cd.", "q", "", "r s. T u."]), max_size=6), st.integers(0, 5))
def test_other_lines_are_drawn_as_without_a_memory(lines: list[str], first: int):
    options = SearchOptions(sampling=SamplingOptions(temperature=3.0, seed=5))
    plain = copy_translator().translate(lines, options, first=first)
    for line, mine, theirs in zip(lines, remembering().translate(lines, options, first=first), plain, strict=True):
        assert mine.text == ("from the memory" if line == "Ab cd." else theirs.text)
        assert mine.source == line


def test_texts_of_documents_are_taken_too():
    po = b'msgid "Ab cd."\nmsgstr ""\n\nmsgid "q"\nmsgstr ""\n'
    html = b"<p>Ab <b>cd.</b></p><p>q</p>"
    for form, data, expected in (("po", po, b'msgstr "from the memory"'), ("html", html, b"from the")):
        sink = io.BytesIO()
        translator = remembering()
        translate_file(translator, form, io.BytesIO(data), sink, GREEDY)
        assert expected in sink.getvalue() and b"Q" in sink.getvalue()


def test_texts_of_documents_are_looked_up_with_their_placeholders():
    translator, sink = remembering(pairs=[("q %s", "%s aus")]), io.BytesIO()
    translate_file(translator, "po", io.BytesIO(b'msgid "q %s"\nmsgstr ""\n'), sink, GREEDY)
    assert b'msgstr "%s aus"' in sink.getvalue()


TMX = (
    '<tmx version="1.4"><body><tu><tuv xml:lang="de-DE"><seg>ein Hund</seg></tuv>'
    '<tuv xml:lang="en"><seg>a <hi>dog</hi></seg></tuv></tu></body></tmx>'
)


def test_memories_are_read_from_files_of_which_the_first_counts(tmp_path: Path):
    tmx, tsv = tmp_path / "a.tmx.xz", tmp_path / "b.tsv"
    tmx.write_bytes(lzma.compress(TMX.encode()))
    tsv.write_text("ein Hund\ta hound\nKatze\tcat\tnote\n")
    memory = TranslationMemory.read([tmx, tsv], DE_EN)
    assert [memory.exact(text).target for text in ("ein Hund", "Katze")] == ["a dog", "cat"]
    assert TranslationMemory.read([tsv, tmx], DE_EN).exact("ein Hund").target == "a hound"


def test_what_a_file_holds_is_told_by_its_last_suffix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, warnings = tmp_path / "project.tmx.tsv", list[str]()
    monkeypatch.setattr("s2s_cli.console.warn", warnings.append)
    path.write_text("Katze\tcat\n")
    assert TranslationMemory.read([path], DE_EN).exact("Katze")
    path.write_text("\n")
    assert not warnings and not len(TranslationMemory.read([path], DE_EN)) and len(warnings) == 1
    with pytest.raises(UsageError):
        TranslationMemory.read([tmp_path / "b.tsv.bak"], DE_EN)


def test_faults_of_memories_are_told(tmp_path: Path):
    path = tmp_path / "b.tsv"
    path.write_text("ein Hund\ta hound\nKatze\n")
    with pytest.raises(DataError) as caught:
        TranslationMemory.read([path], DE_EN)
    assert caught.value.where == f"{path}:2"
    with pytest.raises(UsageError):
        TranslationMemory.read([tmp_path / "a.xlsx"], DE_EN)
    with pytest.raises(MachineError):
        TranslationMemory.read([tmp_path / "missing.tsv"], DE_EN)
    with pytest.raises(DataError, match="languages"):
        TranslationMemory.read([tmp_path / "a.tmx"], Languages())


@pytest.mark.parametrize("fuzzy", [0.0, -1.0, 1.5, float("nan")])
def test_a_similarity_that_is_none_is_refused(fuzzy: float):
    with pytest.raises(UsageError):
        Lookup(TranslationMemory(PAIRS), fuzzy)


def test_without_rapidfuzz_exact_entries_are_still_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "rapidfuzz", None)
    with pytest.raises(UsageError, match="rapidfuzz"):
        Lookup(TranslationMemory(PAIRS), 0.75)
    assert Lookup(TranslationMemory(PAIRS), 1.0).match("Ab cd.").similarity == 1.0
    assert Lookup(TranslationMemory(PAIRS)).match("Ab cd.").similarity == 1.0
