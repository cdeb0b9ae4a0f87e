"""Corpora in TMX, XLIFF, PO, JSON lines and Parquet: which pairs they have, and what is wrong with broken ones."""

from __future__ import annotations

import gzip
import json
import lzma
import tracemalloc
from pathlib import Path
from random import Random
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import Table
from pyarrow.parquet import write_table

from s2s_cli.data import xml_pairs
from s2s_cli.data.corpora import locate
from s2s_cli.data.po import read_po
from s2s_cli.data.preparation import prepare
from s2s_cli.data.xml_pairs import read_tmx
from s2s_cli.errors import DataError
from s2s_cli.recipe import schema
from s2s_cli.text.languages import Languages

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
COMPRESSED = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def pairs_of(path: Path, form: str, source: str = "de", target: str = "en", **keys: Any) -> list[tuple[str, str]]:
    corpus = schema.Corpus.read({form: str(path), **keys})
    return list(locate(corpus, [path.parent], schema.Languages(source=source, target=target)).pairs())


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(COMPRESSED.get(path.suffix, bytes)(data))
    return path


def tmx(*units: dict[str, str]) -> str:
    body = "\n".join(
        "<tu>" + "".join(f'<tuv xml:lang="{code}"><seg>{seg}</seg></tuv>' for code, seg in unit.items()) + "</tu>"
        for unit in units
    )
    return f'<?xml version="1.0"?>\n<tmx version="1.4"><header srclang="en"/><body>\n{body}\n</body></tmx>'


MEMORY = tmx(
    {"en-US": "The <hi>red</hi> &amp; <bpt i='1'>&lt;b></bpt>blue<ept i='1'>&lt;/b></ept> house", "de-DE": "Haus"},
    {"en": "\n  no\n  German ", "fr": "rien"},
    {"en": "Portrait", "de": "  "},
    {"EN": "<![CDATA[a < b]]>", "de-AT": "a\nkleiner b"},
    {"fr": "x", "de": "Baum<ph type='lb'/>haus<it><sub>nicht</sub></it>", "en-GB": "tree"},
)


@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_a_memory_has_pairs_by_language_without_codes(tmp_path: Path, monkeypatch, suffix: str, chunk: int):
    monkeypatch.setattr(xml_pairs, "CHUNK", chunk)
    path = written(tmp_path, f"a.tmx{suffix}", MEMORY)
    expected = [("The red & blue house", "Haus"), ("a < b", "a kleiner b"), ("tree", "Baum haus")]
    assert pairs_of(path, "tmx", "en", "de") == expected
    assert pairs_of(path, "tmx", "de", "en") == [(target, source) for source, target in expected]
    assert pairs_of(path, "tmx", "fr", "en") == [("rien", "no German"), ("x", "tree")]


def test_the_country_counts_where_there_is_a_choice(tmp_path: Path):
    path = written(tmp_path, "a.tmx", tmx({"zh-CN": "简", "zh-TW": "繁", "en": "x"}))
    assert pairs_of(path, "tmx", "zh-TW", "en") == [("繁", "x")]
    assert pairs_of(path, "tmx", "zh_tw", "en") == [("繁", "x")]
    assert pairs_of(path, "tmx", "zh", "en") == [("简", "x")]
    assert pairs_of(path, "tmx", "zh", "zh") == [("简", "繁")]


@settings(max_examples=40)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_any_text_comes_back_from_a_memory(tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]):
    pairs = [("a", "b"), *pairs]
    content = tmx(*({"de": escape(source), "en": escape(target)} for source, target in pairs))
    clean = [(" ".join(source.split()), " ".join(target.split())) for source, target in pairs]
    legal = all(c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" for c in content)
    path = written(tmp_path_factory.mktemp("tmx"), "a.tmx", content)
    if legal:
        assert pairs_of(path, "tmx") == [pair for pair in clean if all(pair)]
    else:
        with pytest.raises(DataError):
            pairs_of(path, "tmx")


XLIFF_1 = """<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file source-language="en-US" target-language="de" datatype="plaintext" original="a"><header><note>x</note></header>
<body><group>
<trans-unit id="1"><source>Open <g id="1">the</g> file<x id="2"/></source><target>Datei <g id="1">öffnen</g></target>
<alt-trans><source>Open</source><target state="new">Öffnen</target></alt-trans><note>no</note></trans-unit>
<trans-unit id="2"><source>New</source><target state="needs-review-translation">Neu</target></trans-unit>
<trans-unit id="3"><source>Close</source></trans-unit>
<trans-unit id="4"><source>A. B.</source><seg-source><mrk mtype="seg" mid="1">A.</mrk></seg-source>
<target state="final"><mrk mtype="seg" mid="1">Ä.</mrk> B.</target></trans-unit>
</group></body></file>
<file source-language="en" target-language="fr" original="b"><body>
<trans-unit id="5"><source>Open</source><target>Ouvrir</target></trans-unit></body></file></xliff>
"""
XLIFF_2 = """<xliff version="2.0" srcLang="en" trgLang="de" xmlns="urn:oasis:names:tc:xliff:document:2.0"><file id="f">
<unit id="1"><notes><note>x</note></notes><segment><source>One <pc id="1">two</pc><ph id="2"/></source>
<target>Eins <pc id="1">zwei</pc></target></segment><ignorable><source> </source><target> </target></ignorable>
<segment state="initial"><source>Three</source><target>Drei</target></segment></unit></file></xliff>
"""


def test_xliff_has_what_is_translated_in_either_direction(tmp_path: Path):
    first, second = written(tmp_path, "1.xlf", XLIFF_1), written(tmp_path, "2.xlf.xz", XLIFF_2)
    expected = [("Open the file", "Datei öffnen"), ("A. B.", "Ä. B.")]
    assert pairs_of(first, "xliff", "en", "de") == expected
    assert pairs_of(first, "xliff", "de", "en") == [(target, source) for source, target in expected]
    assert pairs_of(first, "xliff", "en", "fr") == [("Open", "Ouvrir")]
    assert pairs_of(second, "xliff", "en", "de") == [("One two", "Eins zwei")]


PO = """msgid ""
msgstr "Content-Type: text/plain; charset=ISO-8859-1\\nLanguage: de_AT\\n"

#: a.c:1
msgctxt "menu"
msgid "Open\\n"
"the file"
msgstr "Datei öffnen"

#, fuzzy, c-format
msgid "Close"
msgstr "Schlecht"

msgid "Untranslated"
msgstr ""

#, c-format
msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

#~ msgid "Old"
#~ msgstr "Alt"
"""


def test_po_has_what_is_translated_in_either_direction(tmp_path: Path):
    path = written(tmp_path, "de.po.gz", PO.encode("latin-1"))
    expected = [("Open the file", "Datei öffnen"), ("%d file", "%d Datei"), ("%d files", "%d Dateien")]
    assert pairs_of(path, "po", "en", "de") == expected
    assert pairs_of(path, "po", "de", "en") == [(target, source) for source, target in expected]


def test_po_with_one_plural_form_has_the_plural(tmp_path: Path):
    path = written(tmp_path, "ja.po", 'msgid "a file"\nmsgid_plural "files"\nmsgstr[0] "ファイル"\n')
    assert pairs_of(path, "po", "en", "ja") == [("files", "ファイル")]


def test_records_have_fields_which_may_lie_in_others(tmp_path: Path):
    records = [{"source": "a\nb", "target": "c", "translation": {"de": "ä", "en": "x"}}, {"source": "", "target": "d"}]
    path = written(tmp_path, "a.jsonl.xz", "\n\n".join(map(json.dumps, records)))
    assert pairs_of(path, "jsonl") == [("a b", "c"), ("", "d")]
    path = written(tmp_path, "b.jsonl", json.dumps(records[0]))
    assert pairs_of(path, "jsonl", fields=["translation.de", "translation.en"]) == [("ä", "x")]
    write_table(Table.from_pylist([{"text.de": "ä", "text": {"en": "x"}}]), tmp_path / "c.parquet")
    assert pairs_of(tmp_path / "c.parquet", "parquet", fields=["text.de", "text.en"]) == [("ä", "x")]


def test_parquet_has_columns_which_may_be_structures(tmp_path: Path):
    rows = [{"translation": {"de": f"wort {n}", "en": f"word {n}"}, "more": n} for n in range(2500)]
    path = tmp_path / "a.parquet"
    write_table(Table.from_pylist(rows), path)
    found = pairs_of(path, "parquet", fields=["translation.de", "translation.en"])
    assert found == [(f"wort {n}", f"word {n}") for n in range(2500)]


ENTITY = '<?xml version="1.0"?>\n<!DOCTYPE tmx [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n<tmx><body>&x;</body></tmx>'


@pytest.mark.parametrize(
    ("name", "content", "place", "what"),
    [
        ("a.tmx", MEMORY.replace("</tu>", "</tx>", 1), ":3", "not sound XML"),
        ("a.tmx", MEMORY[:300], ":6", "not sound XML"),
        ("a.tmx", b"\xff" + MEMORY.encode(), ":1", "not sound XML"),
        ("a.tmx", ENTITY, ":2", "document type"),
        ("a.tmx", "<tmx>" + "<a>" * 300, ":1", "nested"),
        ("a.tmx", XLIFF_1, ":1", "root element"),
        ("a.tmx", tmx({"en": "a", "fr": "b"}), "", "no pair in de and en"),
        ("a.xliff", XLIFF_1.replace('"de"', '"it"'), "", "no pair in de and en"),
        ("a.po", 'msgid "a"\nmsgstr "b"\n\nnonsense\n', ":4", "no line of a PO file"),
        ("a.po", 'msgid ""\nmsgstr "Language: fr\\n"\n', "", "its language is fr"),
        ("a.po", 'msgid "a"\nmsgstr ""\n\n#, fuzzy\nmsgid "b"\nmsgstr "c"\n', "", "nothing in it is translated"),
        ("a.jsonl", '{"source": "a", "target": "b"}\n{"source": ', ":2", "not a JSON object"),
        ("a.jsonl", '{"source": "a", "targt": "b"}\n', ":1", "no field `target`"),
        ("a.jsonl", '{"source": "a", "target": 3}\n', ":1", "not text"),
        ("a.jsonl", '{"source": "a", "target": "\\ud800"}\n', ":1", "lone surrogate"),
        ("a.jsonl", "[1]\n", ":1", "no field `source`"),
        ("a.parquet", b"PAR1 is no Parquet", "", "not sound|cannot be read"),
    ],
)
def test_a_broken_file_is_named_with_the_line(tmp_path: Path, name: str, content: str | bytes, place: str, what: str):
    path = written(tmp_path, name, content)
    with pytest.raises(DataError, match=what) as caught:
        pairs_of(path, name.partition(".")[2])
    assert caught.value.where == f"{path}{place}"


SAMPLES = {
    "a.tmx": MEMORY.encode(),
    "a.xliff": XLIFF_1.encode(),
    "b.xliff": XLIFF_2.encode(),
    "a.po": PO.encode("latin-1"),
    "a.jsonl": b'{"source": "a", "target": "b"}\n' * 3,
    "a.parquet": b"",
}
PIECES = [b"<seg>", b"</seg>", b"<tu>", b"</tu>", b"<source>", b"</source>", b"<segment>", b"<", b">", b"&", b'"']
PIECES += [b"\n", b"msgid ", b"#~ ", b"\xff", b"\0"]


def mutated(data: bytes, random: Random) -> bytes:
    """The file with one to three changes."""
    changed = bytearray(data)
    for _ in range(random.randrange(1, 4)):
        at, other = random.randrange(len(changed)), random.randrange(len(changed))
        kind = random.randrange(4)
        if kind == 0 and len(changed) > 30:
            del changed[at : at + random.randrange(1, 20)]
        elif kind == 1:
            changed[at:at] = random.choice(PIECES)
        elif kind == 2:
            changed[at:at] = changed[other : other + random.randrange(1, 60)]
        else:
            changed[at] = random.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_file_is_refused_in_one_sentence_or_read(tmp_path: Path, name: str):
    random, data = Random(3), SAMPLES[name]
    if name == "a.parquet":
        write_table(Table.from_pylist([{"source": "a", "target": "b"}] * 50), tmp_path / name)
        data = (tmp_path / name).read_bytes()
    for _ in range(200):
        path = written(tmp_path, name, mutated(data, random))
        try:
            found = pairs_of(path, name.partition(".")[2])
        except DataError as error:
            assert error.where and "\n" not in str(error)
        else:
            assert all("\n" not in text for pair in found for text in pair)


def test_a_missing_column_and_a_cell_without_text_are_told(tmp_path: Path):
    path = tmp_path / "a.parquet"
    write_table(Table.from_pylist([{"source": "a", "target": "b"}, {"source": "a", "target": None}]), path)
    with pytest.raises(DataError, match="the field `target` is not text") as caught:
        pairs_of(path, "parquet")
    assert caught.value.where == f"{path}, row 2"
    with pytest.raises(DataError, match=r"no field `de` \(there: source, target; set"):
        pairs_of(path, "parquet", fields=["de", "target"])
    write_table(Table.from_pylist([{"translation": {"fr": "a", "en": "b"}}]), path)
    with pytest.raises(DataError, match=r"no field `translation.de` \(there: fr, en; set"):
        pairs_of(path, "parquet", fields=["translation.de", "translation.en"])


def test_memory_does_not_grow_with_a_translation_memory(tmp_path: Path):
    path = written(tmp_path, "a.tmx.gz", tmx(*[{"de": f"ein Satz {n}", "en": "words " * 50} for n in range(10_000)]))
    corpus = locate(schema.Corpus(tmx=str(path)), [tmp_path], schema.Languages(source="de", target="en"))
    tracemalloc.start()
    try:
        assert sum(1 for _ in corpus.pairs()) == 10_000
        assert tracemalloc.get_traced_memory()[1] < 1_500_000  # the file has 4 million bytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("corpus", "what"),
    [
        ({"tmx": "a", "po": "b"}, "give either"),
        ({"tmx": "a", "source": "b", "target": "c"}, "give either"),
        ({"tmx": "a", "fields": ["a", "b"]}, "`fields` are of"),
        ({"source": "a", "target": "b", "columns": [2, 1]}, "`columns` are of"),
        ({"tsv": "a", "sha256": {"source": "0" * 64}}, "`sha256.source` is of no file: there is tsv"),
        ({"mono": "a", "side": "target", "by": "m", "sha256": {"tsv": "0" * 64}}, "`sha256.tsv` is of no file"),
        ({"tsv": "a", "sha256": "0" * 63}, "sha256: a SHA-256 has 64 hexadecimal digits"),
        ({"source": "a", "target": "b", "sha256": {"target": "x" * 64}}, "sha256.target: a SHA-256 has 64"),
        ({"tsv": "a", "weight": 1e18}, "weight: must be at most"),
        ({"mono": "a.tsv.gz", "side": "target", "by": "m"}, "`a.tsv.gz` has columns: give the `column`"),
    ],
)
def test_keys_that_do_not_go_together_are_refused(corpus: dict[str, Any], what: str):
    with pytest.raises(ValueError, match=what):
        schema.TrainCorpus.read(corpus)


def test_a_table_of_excluded_lines_needs_a_column():
    with pytest.raises(ValueError, match=r"`a.tsv` has columns"):
        schema.Lines.read({"file": "a.tsv"})
    assert schema.Lines.read({"file": "a.tsv", "column": 2}).column == 2


def test_splits_of_several_formats_are_prepared(tmp_path: Path):
    units = [
        {"de": f"das Wort {n} ist {n % 7} mal da", "en": f"the word {n} is there {n % 7} times"} for n in range(99)
    ]
    written(tmp_path, "train.tmx.gz", tmx(*units))
    written(tmp_path, "dev.jsonl", json.dumps({"de": "ein\nWort", "en": "one\nword"}))
    written(tmp_path, "test.po", PO.encode("latin-1"))
    recipe = schema.Recipe.read(
        {
            "name": "formats",
            "languages": {"source": "de", "target": "en"},
            "tokenizer": {"kind": "word"},
            "data": {
                "train": [{"tmx": "train.tmx.gz"}],
                "dev": [{"jsonl": "dev.jsonl", "fields": ["de", "en"]}],
                "test": [{"po": "test.po"}],
            },
        }
    )
    prepared = prepare(recipe, tmp_path, tmp_path / "run")
    assert len(prepared.train) == 99
    assert prepared.dev_texts() == (["ein Wort"], ["one word"])
    assert prepared.test_texts("test")[1] == ["Open the file", "%d file", "%d files"]


@pytest.mark.parametrize("encoding", ["gbk", "shift_jis", "no-such"])
def test_an_encoding_that_is_not_read_is_named(tmp_path: Path, encoding: str):
    path = tmp_path / "a.tmx"
    path.write_text(f'<?xml version="1.0" encoding="{encoding}"?><tmx><body/></tmx>')
    with pytest.raises(DataError, match="a.tmx: its encoding is not read here"):
        list(read_tmx(path, Languages("en", "de")))


def test_a_header_that_names_no_language_is_read(tmp_path: Path):
    path = tmp_path / "a.po"
    path.write_text('msgid ""\nmsgstr ""\n"Language: \\n"\n"MIME-Version: 1.0\\n"\n\nmsgid "a"\nmsgstr "b"\n')
    assert list(read_po(path, Languages("en", "de"))) == [("a", "b")]
    path.write_text(" " * 200_000 + "x")  # in linear time
    with pytest.raises(DataError, match="a.po:1: this is no line of a PO file"):
        list(read_po(path, Languages("en", "de")))
