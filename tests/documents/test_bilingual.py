"""PO, XLIFF and TMX: which messages are translated, and what the formats ask for beside the text."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest
from fake_translators import LANGUAGES, FakeTranslator, Named, backwards, document, same, shouted, translated
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import PO, TMX, XLIFF1, XLIFF2

from s2s_cli.data.po import entries
from s2s_cli.documents.po import Po
from s2s_cli.documents.translation import translate_document, translate_file
from s2s_cli.text.languages import Languages

NAMESPACES = {"a": "urn:oasis:names:tc:xliff:document:1.2", "b": "urn:oasis:names:tc:xliff:document:2.0"}


def messages(data: bytes) -> dict[str, str]:
    """What is written after each `msgid`, up to the next empty line."""
    return {entry.partition("\n")[0]: entry for entry in data.decode().replace("\r", "").split("\n\n")}


def test_only_empty_messages_of_a_po_file_are_translated():
    written = translated("po", PO).decode()
    taken = re.sub(r'(?m)^(msgstr(?:\[\d\])?) "[^a].*\n(?:".*\n)*', r'\1 ""\n', written)
    left = re.sub(r'(?m)^(msgstr(?:\[\d\])?) "[^a].*\n(?:".*\n)*', r'\1 ""\n', PO.decode())
    assert taken.replace('msgstr ""\n"A', '"A') != "" and left.count("msgid") == taken.count("msgid")
    assert 'msgstr "CANNOT OPEN %s: IT IS 100%% FULL\\n"' in written
    assert 'msgstr "<b>OPEN</b> THE \\"FILE\\""' in written
    assert '#, fuzzy\n#| msgid "old text"\nmsgid "new text"\nmsgstr "alter Text"\n' in written
    assert 'msgid "Unknown ~a"\nmsgstr ""\n' in written  # a format whose placeholders are not known here
    assert written.endswith('#, fuzzy\n#~ msgid "obsolete"\n#~ msgstr ""\n')
    assert '\n"GOES ON.\\n"\n"\\tA SECOND LINE."\n' in written


IN_FRENCH = [
    ("po", b'msgid ""\nmsgstr ""\n"Language: fr_CA\\n"\n\nmsgid "a"\nmsgstr ""\n', "fr_CA"),
    ("xliff", XLIFF1.replace(b'target-language="de"', b'target-language="fr"'), "fr"),
    ("xliff", XLIFF2.replace(b'srcLang="en"', b'srcLang="en" trgLang="fr"'), "fr"),
]


@pytest.mark.parametrize(
    ("form", "data"), [("xliff", XLIFF1), ("xliff", XLIFF2), ("html", b'<html class="a" lang="en"><p>a</p>')]
)
def test_a_file_that_is_in_another_language_is_told_of(form: str, data: bytes, capsys: pytest.CaptureFixture[str]):
    for told, expected in [(b'"fr"', True), (b'"en-GB"', False)]:
        translate_file(FakeTranslator(), form, Named(data.replace(b'"en"', told), "x"), io.BytesIO(), None)
        assert ("the file says that it is in fr, and the model reads en" in capsys.readouterr().err) is expected


@pytest.mark.parametrize(("form", "data", "told"), IN_FRENCH)
def test_a_file_that_is_to_be_in_another_language_is_told_of(
    form: str, data: bytes, told: str, capsys: pytest.CaptureFixture[str]
):
    warning = f"the file says that it is to be in {told}, and the model writes de"
    for each, expected in [(data, True), (data.replace(told.encode(), b"de-AT"), False)]:
        translate_file(FakeTranslator(), form, Named(each, "x"), sink := io.BytesIO(), None)
        assert sink.getvalue() != each
        assert (warning in capsys.readouterr().err) is expected


def test_each_plural_form_is_translated_from_the_source_that_suits_it():
    written = translated("po", PO).decode()
    # The first form is of 1, 21, 31 ... in this language, so that "One file" would be wrong.
    assert [line for line in written.splitlines() if line.startswith("msgstr[")] == [
        f'msgstr[{form}] "%d FILES IN %s"' for form in range(3)
    ]
    english = PO.replace(b"nplurals=3; plural=n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2", b"nplurals=2; plural=n!=1")
    assert 'msgstr[0] "ONE FILE"\nmsgstr[1] "%d FILES IN %s"' in translated("po", english).decode()
    slovenian = PO.replace(b"n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2", b"n==1 ? 1 : 0")
    assert 'msgstr[0] "%d FILES IN %s"\nmsgstr[1] "ONE FILE"' in translated("po", slovenian).decode()


@pytest.mark.parametrize("plural", ["nonsense", "1/0", "n" + "+n" * 3000, "INTEGER", "(" * 100])
def test_a_plural_formula_that_means_nothing_does_no_harm(plural: str):
    data = PO.replace(b"plural=n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2", f"plural={plural}".encode())
    assert b'msgstr[0] "ONE FILE"' in translated("po", data)


MESSAGES = [
    ("sh", "$name has 50% of ${dir} left", "$name HAS 50% OF ${dir} LEFT '%"),
    ("java", "It''s {0} of '{x}' here", "IT''S {0} OF '{x}' HERE ''%"),
    ("java-printf", "%1$s is 100%% full", "%1$s IS 100%% FULL '%%"),
    ("java", "{0,number,#.##} of {1,date,short} is", "{0,number,#.##} OF {1,date,short} IS ''%"),
    ("python-brace", "{0!r:>10} of {x:{w}} is {{y}}", "{0!r:>10} OF {x:{w}} IS {{Y}} '%"),
    ("ruby", "%{n} of %<x>02d is 100%% full", "%{n} OF %<x>02d IS 100%% FULL '%%"),
    ("rust", "{{a}} is {0:?} of {n:>5} here", "{{A}} IS {0:?} OF {n:>5} HERE '%"),
    ("csharp", "{{a}} is {0:N2} here", "{{A}} IS {0:N2} HERE '%"),
]


@pytest.mark.parametrize(("form", "text", "expected"), MESSAGES)
def test_a_message_is_written_by_the_rules_of_its_format(form: str, text: str, expected: str):
    data = f'#, {form}-format\nmsgid "{text}"\nmsgstr ""\n'.encode()
    assert f'msgstr "{expected}"'.encode() in translated("po", data, lambda text: f"{shouted(text)} '%")


def test_a_message_of_a_format_that_is_not_known_stays_and_is_told(monkeypatch: pytest.MonkeyPatch):
    warnings: list[str] = []
    monkeypatch.setattr("s2s_cli.console.warn", warnings.append)
    data = b'msgid "a"\nmsgstr ""\n\n#, lisp-format\nmsgid "~a b"\nmsgstr ""\n\n#, lisp-format\nmsgid "c"\nmsgstr "d"\n'
    assert translated("po", data) == data.replace(b'msgid "a"\nmsgstr ""', b'msgid "a"\nmsgstr "A"')
    assert len(warnings) == 1 and "x.po:6: left as it was" in warnings[0] and "`lisp-format`" in warnings[0]


def test_options_of_a_program_are_no_words_and_columns_stay():
    text = "Run 'it --dry-run' (-n) for a-b --\\n  -h, --help      show this"
    written = translated("po", f'msgid "{text}"\nmsgstr ""\n'.encode()).decode()
    assert written.splitlines()[1] == "msgstr \"RUN 'IT --dry-run' (-n) FOR A-B --\\n  -h, --help      SHOW THIS\""


def test_fields_that_are_numbered_by_their_order_keep_it():
    data = b'#, python-brace-format\nmsgid "a {:>5} b {!r} c"\nmsgstr ""\n'
    written = translated("po", data, backwards).decode().splitlines()[-1]
    assert written.index("{:>5}") < written.index("{!r}")


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("von %2$s zu %1$s", "von %2$s zu %1$s"),
        ("<b>x</b> %1$s", "FROM %1$s TO %2$s"),  # with other codes, so it is translated as without a memory
        ("von %1$s zu %2$s %3$s", "FROM %1$s TO %2$s"),
        ("von %1$s", "FROM %1$s TO %2$s"),
    ],
)
def test_a_memory_knows_texts_with_their_placeholders(known: str, expected: str):
    translator = FakeTranslator(memory={"from %1$s to %2$s": known})
    po = document("po", b'#, c-format\nmsgid "from %1$s to %2$s\\n"\nmsgstr ""\n')
    assert f'msgstr "{expected}\\n"'.encode() in translate_document(translator, po, None)


def test_a_memory_keeps_arguments_and_pairs_in_order():
    memory = {"a %s of %d": "%d x %s", "a <b>c</b>": "</b>x<b>", "<b>c</b> d": "d <b>x</b>"}
    for text, expected in [("a %s of %d", "A %s OF %d"), ("a <b>c</b>", "A <b>C</b>"), ("<b>c</b> d", "d <b>x</b>")]:
        po = document("po", f'msgid "{text}"\nmsgstr ""\n'.encode())
        assert f'msgstr "{expected}"' in translate_document(FakeTranslator(memory=memory), po, None).decode()


def reviewed(form: str, data: bytes, *doubtful: str, memory: dict[str, str] | None = None) -> bytes:
    """The translation, of which these texts have less than the least confidence."""
    translator = FakeTranslator(memory=memory, doubtful=doubtful)
    return translate_document(translator, document(form, data), None, min_confidence=0.5)


def test_a_doubtful_message_is_fuzzy(capsys: pytest.CaptureFixture[str]):
    data = b"""\
msgid "a"
msgstr ""

# of a translator
#, c-format
#, no-wrap
msgctxt "x"
msgid "b %s"
msgid_plural "c %s"
msgstr[0] ""
msgstr[1] ""

#| msgid "before"
msgctxt "menu"
msgid "d"
msgstr ""

#, fuzzy
msgid "e"
msgstr ""
"""
    sure = translated("po", data)
    assert reviewed("po", data, "f") == sure and not capsys.readouterr().err
    written = reviewed("po", data, "b", "c", "d", "e")
    assert written == sure.replace(b"#, c-format", b"#, fuzzy, c-format").replace(b"#| msgid", b"#, fuzzy\n#| msgid")
    assert reviewed("po", data, "a") == b"#, fuzzy\n" + sure
    assert "x.po:10: marked to be reviewed, since its" in (told := capsys.readouterr().err)
    assert "confidence below 0.5 (the first of 4)" in told
    assert [each.flags >= {"fuzzy"} for each in entries(written.decode(), "po")] == [False, True, True, True]
    assert reviewed("po", b"\xef\xbb\xbf" + data, "a") == b"\xef\xbb\xbf#, fuzzy\n" + sure


def test_a_doubtful_message_of_a_file_with_other_ends_of_lines_is_fuzzy():
    data = b'msgid "a"\r\nmsgstr ""\r\n\r\nmsgid "b"\r\nmsgstr ""\r\n'
    expected = b'msgid "a"\r\nmsgstr "A"\r\n\r\n#, fuzzy\r\nmsgid "b"\r\nmsgstr "B"\r\n'
    assert reviewed("po", data, "b") == expected


def test_what_cannot_be_written_is_not_marked(capsys: pytest.CaptureFixture[str]):
    data = b'msgid ""\nmsgstr "charset=ascii\\n"\n\nmsgid "a"\nmsgstr ""\n'
    translator = FakeTranslator(lambda text: text + "é", doubtful=["a"])
    assert translate_document(translator, document("po", data), None, min_confidence=0.5) == data
    assert "left as it was" in (told := capsys.readouterr().err) and "marked" not in told


def test_what_a_memory_knows_is_not_doubtful():
    data = b'msgid "a %s"\nmsgstr ""\n'
    assert reviewed("po", data, "a", memory={"a %s": "%s x"}) == data.replace(b'""', b'"%s x"')


def test_a_doubtful_target_of_xliff_is_to_be_reviewed():
    found = targets(reviewed("xliff", XLIFF1, "Done", "Again", "second line"), "a")
    state = {name: target.get("state") for name, target in found.items() if target is not None}
    assert state == dict.fromkeys("12789", "translated") | {"3": "final"} | dict.fromkeys(
        "46", "needs-review-translation"
    )
    assert found["4"].get("state-qualifier") is None  # type: ignore[union-attr]
    text = document("xliff", XLIFF2).units[0]
    written = reviewed("xliff", XLIFF2, "Press the button now fast", "Press the button  now fast")
    assert text and b'<segment state="initial">' in written and b"PRESS" in written


def test_a_doubtful_sentence_of_a_target_marks_the_whole():
    marks = '<mrk mtype="seg" mid="0">{}</mrk><mrk mtype="seg" mid="1">{}</mrk><mrk mtype="seg" mid="2">{}</mrk>'
    start = f'<xliff version="1.2"><trans-unit id="1"><source>a</source><seg-source>{marks.format("a", "b", "c")}'
    end = "</target></trans-unit></xliff>"
    to_review, final = '<target state="needs-review-translation">', '<target state="final">'
    for tag, doubtful, expected in [
        ("<target>", ("a", "b"), to_review),
        ("<target>", (), "<target>"),
        (final, (), '<target state="translated">'),
        (final, ("a",), to_review),
        (final, ("b",), to_review),
    ]:
        data = f"{start}</seg-source>{tag}{marks.format('', '', 'X')}{end}".encode()
        written = f"{start}</seg-source>{expected}{marks.format('A', 'B', 'X')}{end}"
        assert reviewed("xliff", data, *doubtful).decode() == written


@pytest.mark.parametrize(
    ("form", "data", "expected"),
    [
        ("text", b"a\nb\n", b"A\nb\n"),
        ("html", b"<p>a</p><p>b</p>", b"<p>A</p><p>b</p>"),
        ("tmx", TMX.replace(b"Bonjour", b"b"), None),
    ],
)
def test_a_doubtful_text_stays_where_there_is_no_mark(form: str, data: bytes, expected: bytes | None):
    assert reviewed(form, data, "b") == (expected or translated(form, data))


def test_a_template_gets_an_encoding():
    written = translated("po", PO.replace(b"charset=UTF-8", b"charset=CHARSET"), lambda text: text + "é")
    assert b"charset=UTF-8" in written and b"CHARSET" not in written
    text = PO + b'\nmsgid "charset=CHARSET"\nmsgstr "a"\n'
    assert b'msgid "charset=CHARSET"' in translated("po", text)


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="gettext is not installed")
@pytest.mark.parametrize("write", [shouted, backwards, same, lambda text: f"{text} '% %"])
def test_gettext_accepts_the_file(write):
    messages = [f'#, {form}-format\nmsgid "{text}"\nmsgstr ""\n' for form, text, _ in MESSAGES]
    data = translated("po", PO.replace(b"#, scheme", "\n".join([*messages, "#, scheme"]).encode()), write)
    done = subprocess.run(["msgfmt", "-c", "-o", "/dev/null", "-"], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from(["a", " ", "\n", "\\", '"', "é", "\t", "\0", "\r", "word " * 30]), min_size=1),
    st.booleans(),
)
def test_any_message_can_be_written_and_read(pieces: list[str], wrapped: bool):
    text = "".join(pieces)
    lines = '""\n"a"' if wrapped else '"a"'
    data = f'msgid {lines}\nmsgstr ""\n'.encode()
    po = document("po", data)
    assert isinstance(po, Po)
    written = po.write([(text,)])
    entry = next(iter(entries(written.decode(), "po")))
    assert entry.strings["msgstr"].text == text
    assert written.count(b"\n") >= 2 and b"\r" not in written


def targets(data: bytes, version: str) -> dict[str, ET.Element | None]:
    root = ET.fromstring(data)
    kind = "trans-unit" if version == "a" else "segment"
    return {
        unit.get("id", str(number)): unit.find(f"{version}:target", NAMESPACES)
        for number, unit in enumerate(root.iter(f"{{{NAMESPACES[version]}}}{kind}"))
    }


def test_xliff_1_gets_targets_with_a_state():
    written = translated("xliff", XLIFF1)
    found = targets(written, "a")
    state = {name: target.get("state") if target is not None else None for name, target in found.items()}
    done = dict.fromkeys("1246789", "translated")
    assert state == done | {"3": "final", "5": None}
    assert found["4"].get("state-qualifier") is None  # type: ignore[union-attr]
    text = {name: "".join(target.itertext()) for name, target in found.items() if target is not None}
    assert text["1"] == "HELLO BIG & WIDE WORLD!"
    assert text["2"] == "READ <b>THIS</b>"
    assert text["3"] == "Fertig"
    assert text["6"] == "FIRST LINE\n  SECOND LINE"
    assert text["8"] == "RAW <i>TEXT</i> & MORE"
    assert [mark.get("mid") for mark in found["7"].iter(f"{{{NAMESPACES['a']}}}mrk")] == ["0", "1"]  # type: ignore[union-attr]
    assert b"<note>Keep" in written


def test_a_message_of_several_forms_stays_and_is_told(monkeypatch: pytest.MonkeyPatch):
    warnings: list[str] = []
    monkeypatch.setattr("s2s_cli.console.warn", warnings.append)
    forms = '{VAR_PLURAL, plural, =1 {one day} other {<x id="1"/> days}}'  # as Angular writes it
    data = f'<xliff version="1.2"><trans-unit id="1"><source>{forms}</source></trans-unit></xliff>'.encode()
    assert translated("xliff", data) == data
    assert len(warnings) == 1 and "syntax of ICU" in warnings[0]


def test_sentences_that_a_target_lacks_are_translated():
    def unit(*sentences: str, name: str) -> str:
        marks = " ".join(f'<mrk mtype="seg" mid="{mid}">{text}</mrk>' for mid, text in enumerate(sentences))
        return f"<{name}>{marks}</{name}>".replace("></mrk>", "/>")

    start = '<xliff version="1.2"><trans-unit id="1"><source>a. b. c.</source>'
    start += unit("a.", "b.", "c.", name="seg-source")
    end = "</trans-unit></xliff>"
    data = f"{start}{unit('X.', '', '', name='target')}{end}"
    assert translated("xliff", data.encode()).decode() == f"{start}{unit('X.', 'B.', 'C.', name='target')}{end}"
    lacking = f'{start}<target><mrk mtype="seg" mid="1">X.</mrk></target>{end}'
    assert translated("xliff", lacking.encode()).decode() == (
        f'{start}<target><mrk mtype="seg" mid="0">A.</mrk> <mrk mtype="seg" mid="1">X.</mrk> '
        f'<mrk mtype="seg" mid="2">C.</mrk></target>{end}'
    )
    last = f'{start}<target><mrk mtype="seg" mid="2">X.</mrk></target>{end}'
    assert translated("xliff", last.encode()).decode() == f"{start}{unit('A.', 'B.', 'X.', name='target')}{end}"
    whole = f"{start}<target>X. Y. Z.</target>{end}".encode()
    assert translated("xliff", whole) == whole
    done = f"{start}{unit('X.', 'Y.', 'Z.', name='target')}{end}".encode()
    assert translated("xliff", done) == done


@pytest.mark.parametrize("between", [" ", ""])
def test_a_sentence_that_a_target_lacks_stands_before_an_empty_one(between: str):
    def marks(**texts: str) -> str:
        return between.join(f'<mrk mtype="seg" mid="{mid}">{text}</mrk>' for mid, text in texts.items())

    start = '<xliff version="1.2"><trans-unit id="1"><source>a. b. c.</source>'
    start += f"<seg-source>{marks(x='a.', y='b.', z='c.')}</seg-source><target>"
    end = "</target></trans-unit></xliff>"
    written = translated("xliff", f"{start}{marks(y='', z='Z.')}{end}".encode()).decode()
    assert written == f"{start}{marks(x='A.', y='B.', z='Z.')}{end}"
    written = translated("xliff", f"{start}{marks(x='X.', z='')}{end}".encode()).decode()
    assert written == f"{start}{marks(x='X.', y='B.', z='C.')}{end}"


def test_nothing_but_targets_is_added_to_xliff_1():
    written = translated("xliff", XLIFF1)
    without = re.sub(rb'\s*<target state="translated">.*?</target>', b"", written, flags=re.DOTALL)
    assert without == re.sub(rb"<target  />|<target state=\"new\".*?</target>", b"", XLIFF1)


def test_xliff_2_gets_states_and_its_language():
    written = translated("xliff", XLIFF2)
    root = ET.fromstring(written)
    assert root.get("trgLang") == LANGUAGES.target
    states = [segment.get("state") for segment in root.iter(f"{{{NAMESPACES['b']}}}segment")]
    assert states == ["translated", None, None]
    assert b"subState" not in written
    texts = ["".join(target.itertext()) for target in targets(written, "b").values() if target is not None]
    assert texts == ["PRESS THE BUTTON  NOW FAST", "Fertig"]


@pytest.mark.parametrize(
    ("fixed", "after"),
    [
        ('<sm id="1" translate="no"/>foo bar<em startRef="1"/>', " now"),
        ('<sm id="1" translate="no"/>foo <sc id="2"/>bar<em startRef="1"/>', ' now<ec startRef="2"/> then'),
        ('<sm id="1" translate="no"/>foo <pc id="2">bar<em startRef="1"/> end</pc>', " now"),
        ('<sm id="1" translate="no"/><sm id="2" translate="no"/>foo<em startRef="2"/> bar<em startRef="1"/>', " now"),
        ('<sm id="1" translate="no"/>foo bar<em startRef="2"/> now', ""),  # it goes on behind this segment
    ],
)
def test_what_marks_of_xliff_2_exclude_is_not_translated(fixed: str, after: str):
    source = f"<source>open {fixed}{after}</source>"
    start = f'<xliff version="2.0" srcLang="en" trgLang="de"><file><unit><segment state="translated">{source}'
    data = f"{start}</segment></unit></file></xliff>".encode()
    target = f"OPEN {fixed}{after.replace('now', 'NOW').replace('then', 'THEN')}"
    assert f"<target>{target}</target>" in translated("xliff", data).decode()
    assert fixed in translated("xliff", data, backwards).decode().partition("<target>")[2]


def test_columns_of_xliff_stay_where_its_space_is_kept():
    text = "a b    c\td e \n  f  g"
    units = '<xliff version="1.2"><trans-unit id="1"{}><source>{}</source>{}</trans-unit></xliff>'
    for attribute, expected in [(' xml:space="preserve"', "b a    c\te d \n  g f"), ("", "g f e d c b a")]:
        target = f'<target state="translated">{expected}</target>'
        written = translated("xliff", units.format(attribute, text, "").encode(), backwards).decode()
        assert written == units.format(attribute, text, target)


def test_pairs_of_other_elements_stay_sound_in_any_order():
    for data in (XLIFF1, XLIFF2, TMX):
        form = "tmx" if data is TMX else "xliff"
        before, after = ET.fromstring(data), ET.fromstring(translated(form, data, backwards))
        assert after.tag == before.tag and len(after) == len(before)


def test_tmx_gets_a_variant_in_the_language_of_the_model():
    written = translated("tmx", TMX)
    language = "{http://www.w3.org/XML/1998/namespace}lang"
    units = list(ET.fromstring(written).iter("tu"))
    assert [[variant.get(language) for variant in unit] for unit in units] == [["en-US", "de"], ["en", "DE-at"], ["fr"]]
    assert b'    </tuv>\n    <tuv xml:lang="de">\n      <seg>A CAF\xe9 <bpt i="1">{b}</bpt>IN PARIS' in written
    other = document("tmx", TMX, Languages("", "sv"))
    assert len(other.units) == 2  # without a language of its own, the model reads that of the header


def test_the_variant_of_the_country_is_read_if_there_is_one():
    variants = "".join(f'<tuv xml:lang="{code}"><seg>{code}</seg></tuv>' for code in ("zh-CN", "zh-TW"))
    data = f'<tmx><header srclang="zh-CN"/><body><tu>{variants}</tu></body></tmx>'.encode()
    assert document("tmx", data, Languages("zh-TW", "de")).units[0].parts == ("zh-TW",)
    assert document("tmx", data, Languages("zh", "de")).units[0].parts == ("zh-CN",)


def test_a_root_in_another_namespace_prefix_keeps_it():
    data = re.sub(rb"<(/?)(xliff|file|body|group|trans-unit|source|target|note)\b", rb"<\1x:\2", XLIFF1)
    data = data.replace(b"xmlns=", b"xmlns:x=")
    assert b'<x:target state="translated">HELLO' in translated("xliff", data)
