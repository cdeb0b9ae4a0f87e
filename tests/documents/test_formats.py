"""What holds of every format: only text changes, and without a change not a byte does."""

from __future__ import annotations

import io
import re
import zipfile
from collections import Counter
from typing import Any

import pytest
from fake_translators import FakeTranslator, backwards, document, same, shouted, translated
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES

from s2s_cli.documents import translation as pipeline
from s2s_cli.documents.document import Edit, spliced
from s2s_cli.documents.formats import FORMATS, format_of
from s2s_cli.documents.translation import translate_document, translate_file
from s2s_cli.errors import DataError
from s2s_cli.inference.translation import LinesLost
from s2s_cli.text.codes import Code
from s2s_cli.text.languages import Languages

CASES = [(form, data) for form, all_data in SAMPLES.items() for data in all_data]
BILINGUAL = ("po", "xliff", "tmx")
# Pieces of which any order is a file of the format.
PIECES = {
    "text": ["\n", "\r\n", "\ufeff", " ", "ab", "{x}", "%s", "<b>", "</b>", "é中", "\t", ".", "\u2028", "\0"],
    "html": [
        *"<p> </p> <b> </b> <br> <code> </code> <!-- --> &amp; &nbsp; < > & ab".split(),
        *"<script> </script> <pre> </pre> ' =".split(),
        *["<i title='x'>", "</i>", ' <img alt="y">', " ", "\n", '"'],
    ],
    "markdown": [
        *"* ** _ ` [ ](x) ] ![ | ab \\ <b> &lt;".split(),
        *["# ", "\n", "\n\n", "- ", "> ", "1. ", "```\n", "|---|\n", " ", "    "],
        *["[r]: /u\n", "\r\n", "---\n", "\t", "<div>\n"],
    ],
    "srt": ["1\n", "00:00:01,000 --> 00:00:02,000\n", "\n", "ab", "- ", "<i>", "</i>", " ", "\r\n", "{\\an8}"],
}


def text_of(data: bytes) -> str:
    """All that is written in a file, whatever its encoding, without differences that a translation may make."""
    if data[:2] == b"PK":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return "".join(f"{name}\n{text_of(archive.read(name))}" for name in archive.namelist())
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = re.sub(r"<w:prooferr\b[^>]*>", "", data.decode(encoding, "replace").lower())
    text = re.sub(r"</?w:r\b[^>]*>|<(/?)w:t\b[^>]*>", r"<\1w:t>", text)
    return re.sub(r"\s+|(?:</?w:t>)+", "", text.replace("&quot;", '"'))


@pytest.mark.parametrize(("form", "data"), CASES)
def test_without_translations_no_byte_changes(form: str, data: bytes):
    before = document(form, data)
    assert before.units
    assert before.write([None] * len(before.units)) == data


@pytest.mark.parametrize(("form", "data"), [case for case in CASES if case[0] not in BILINGUAL])
def test_the_identity_changes_no_byte(form: str, data: bytes):
    assert translated(form, data, same) == data


@pytest.mark.parametrize(("form", "data"), [case for case in CASES if case[0] not in BILINGUAL])
def test_only_text_changes(form: str, data: bytes):
    written = translated(form, data)
    assert written != data
    if form != "markdown":  # its links by a label get the label written out
        assert text_of(written) == text_of(data)


@pytest.mark.parametrize(("form", "data"), [case for case in CASES if case[0] in BILINGUAL])
def test_a_bilingual_file_is_translated_once(form: str, data: bytes):
    written = translated(form, data)
    assert written != data
    assert [unit for unit in document(form, written).units if form != "po"] == []
    assert translated(form, written, backwards) == written


@pytest.mark.parametrize(("form", "data"), CASES)
@pytest.mark.parametrize("write", [shouted, backwards])
def test_each_code_comes_out_exactly_once(form: str, data: bytes, write: Any, monkeypatch: pytest.MonkeyPatch):
    def codes(parts: Any) -> Counter[str]:
        texts = "".join(part.text for part in parts if isinstance(part, Code))
        return Counter(character for character in texts if character not in " ,")  # between codes that became one

    before, seen = document(form, data), []
    monkeypatch.setattr(before, "write", lambda translations, _: seen.extend(translations) or b"")
    translate_document(FakeTranslator(write), before, None)  # type: ignore[arg-type]
    assert [codes(parts) for parts in seen if parts] == [
        codes(unit.parts) for unit, parts in zip(before.units, seen, strict=True) if parts
    ]
    assert any(seen)


@pytest.mark.parametrize("form", PIECES)
@settings(max_examples=50)
@given(st.data())
def test_any_file_survives(form: str, data: st.DataObject):
    pieces = data.draw(st.lists(st.sampled_from(PIECES[form]), max_size=25))
    source = "".join(pieces).encode()
    try:
        assert translated(form, source, same) == source
    except DataError as error:
        assert form == "srt" and "times" in str(error)
        return
    document(form, translated(form, source, backwards))


@pytest.mark.parametrize(("form", "data"), CASES)
def test_windows_and_repetitions_change_nothing(form: str, data: bytes, monkeypatch: pytest.MonkeyPatch):
    whole = translated(form, data)
    monkeypatch.setattr(pipeline, "WINDOW", 2)
    translator = FakeTranslator()
    assert translate_document(translator, document(form, data), None) == whole  # type: ignore[arg-type]
    seen = [text for call in translator.seen for text in call]
    assert len(seen) == len(set(seen))
    assert all(len(call) <= 2 for call in translator.seen)
    assert all(any(letter.isalpha() for letter in text) for text in seen)


def test_an_edit_is_applied_or_inside_another_one_or_refused():
    insertion, outer, inner, crossing = Edit(1, 1, "+"), Edit(1, 4, "outer"), Edit(1, 3, "inner"), Edit(3, 5, "x")
    assert spliced("abcdef", [insertion, outer, inner]) == "a+outeref"
    assert spliced("abcdef", [insertion, outer, inner], 1, 3) == "+inner"
    with pytest.raises(ValueError, match="3 to 5 begins inside"):
        spliced("abcdef", [outer, crossing])


def test_what_cannot_be_translated_stays_and_is_told(monkeypatch: pytest.MonkeyPatch):
    warnings: list[str] = []
    monkeypatch.setattr("s2s_cli.console.warn", warnings.append)
    replies = {"empty": " ", "tagged": "a <b>x</b>", "fine": "gut"}
    assert translated("text", b"empty\nfine\ntagged\nempty\n", replies.__getitem__) == b"empty\ngut\ntagged\nempty\n"
    assert [line.split(":")[1] for line in warnings] == ["1", "3"]
    assert "(the first of 2)" in warnings[0]
    warnings.clear()
    assert translated("markdown", b"*" + b"<i>" * 99 + b"x" + b"</i>" * 99 + b" y* z\n")
    assert "nested too deeply" in warnings[0]


def test_a_character_that_the_encoding_lacks_leaves_its_text(monkeypatch: pytest.MonkeyPatch):
    warnings: list[str] = []
    monkeypatch.setattr("s2s_cli.console.warn", warnings.append)
    po = b'msgid ""\nmsgstr "charset=ISO-8859-1\\n"\n\nmsgid "a"\nmsgstr ""\n\nmsgid "caf\xe9"\nmsgstr ""\n'
    written = translated("po", po, lambda text: "ł" if text == "a" else text)
    assert written == po[:-3] + b'"caf\xe9"\n'
    assert "x.po:5: left as it was" in warnings[0] and "encoding" in warnings[0]
    page = b'<meta charset="iso-8859-1"><p>caf\xe9 a</p>'
    assert translated("html", page, lambda text: text + "ł") == page.replace(b"a</p>", b"a&#322;</p>")


@pytest.mark.parametrize(
    ("form", "data", "message"),
    [
        ("text", b"ok\nab\xff", r"x\.txt:2: byte 0xff is not UTF-8"),
        ("po", b'msgid ""\nmsgstr "charset=rot13\\n"\n', r"unknown encoding `rot13`"),
        ("po", b'msgid "a"\nmsgid "b"\n', r"x\.po:2: `msgid` is not expected here"),
        ("po", b'msgid "a"\n\nmsgstr[0] ""\n', r"does not fit its msgid_plural"),
        ("xliff", b"<xliff><a></xliff>", r"x\.xlf:1: not sound XML: mismatched tag"),
        ("xliff", b"<html/>", r"the root element is <html>, not <xliff>"),
        ("xliff", b'<!DOCTYPE x [<!ENTITY a "b">]><xliff/>', r"document type with declarations"),
        ("xliff", b"<xliff>" + b"<a>" * 300 + b"</a>" * 300 + b"</xliff>", r"nested more than 200 deep"),
        ("srt", b"no subtitles\n", r"no line of the file has times"),
        ("vtt", b"1\n00:01.000 --> 00:02.000\nx\n", r"x\.vtt:1: .* begins with WEBVTT"),
        ("docx", b"PK\x03\x04", r"x\.docx: a damaged document"),
    ],
)
def test_what_is_not_sound_is_refused_in_one_sentence(form: str, data: bytes, message: str):
    with pytest.raises(DataError, match=message) as error:
        document(form, data)
    assert "\n" not in str(error.value) and error.value.where


def test_a_document_has_a_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("s2s_cli.documents.document.MOST_BYTES", 4)
    assert document("text", b"abcd").units
    with pytest.raises(DataError, match="at most"):
        document("text", b"abcde")


def test_the_model_must_name_a_language_where_the_format_does():
    for form in ("tmx", "xliff"):
        with pytest.raises(DataError, match="language"):
            document(form, SAMPLES[form][form == "xliff"], Languages())


def test_formats_are_known_by_their_suffix():
    assert {format_of(f"a{suffix}") for form in FORMATS.values() for suffix in form.suffixes} == set(FORMATS)
    assert format_of("A.PO") == format_of("a.po.gz") == "po"
    assert format_of("a.gz") is None
    assert format_of("dev.tsv") is None


def test_lost_lines_are_told_by_their_place(monkeypatch: pytest.MonkeyPatch):
    class Dying(FakeTranslator):
        def translate(self, lines: Any, options: Any = None, *, batch_tokens: Any = None, first: int = 0) -> Any:
            if first:
                raise LinesLost([4])
            return super().translate(lines)

    monkeypatch.setattr(pipeline, "WINDOW", 2)
    with pytest.raises(LinesLost, match=r"x\.txt:5: two worker processes") as error:
        translate_document(Dying(), document("text", b"a\nb\n\nc\nd\n"), None)  # type: ignore[arg-type]
    assert error.value.numbers == [4]


def test_a_file_is_written_when_all_of_it_is_translated():
    class Failing(FakeTranslator):
        def translate(self, lines: Any, options: Any = None, **_: Any) -> Any:
            raise DataError("no")

    sink = io.BytesIO()
    translate_file(FakeTranslator(), "text", io.BytesIO(b"ab\n"), sink, None)  # type: ignore[arg-type]
    assert sink.getvalue() == b"AB\n"
    with pytest.raises(DataError):
        translate_file(Failing(), "text", io.BytesIO(b"ab\n"), sink, None)  # type: ignore[arg-type]
    assert sink.getvalue() == b"AB\n"
