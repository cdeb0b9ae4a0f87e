"""Plain text, HTML, Markdown, subtitles and DOCX: what is text in them, and how a translation is written there."""

from __future__ import annotations

import io
import zipfile

import pytest
from fake_translators import backwards, document, segments_of, translated
from markdown_it import MarkdownIt
from samples import DOCUMENT, DOCX, HTML, MARKDOWN, SRT, archive

from s2s_cli.documents import docx
from s2s_cli.documents.markdown_marks import marks
from s2s_cli.errors import DataError


def test_columns_of_a_plain_text_stay_columns():
    text = b"name\ta {{ b\tc }} d\t\tf\n  g   h \t i\r\n\fj k\n"
    assert translated("text", text) == text.upper().replace(b"B\tC", b"b\tc")
    assert segments_of(document("text", b"a.  b\tc    d")).texts == ["a. b", "c", "d"]


def test_html_that_is_no_text_stays():
    page = translated("html", HTML).decode()
    for kept in (
        'x = "<p>text</p>"',
        "keep this",
        "No way",
        ">Brand<",
        "<!-- comment -->",
        "{{ name }}",
        'href="x.html"',
    ):
        assert kept in page
    for changed in (
        "MY PAGE &amp; MORE",
        'title="A TITLE"',
        'alt="AN IMAGE"',
        "value='SEND'",
        "content='THE BEST PAGE'",
    ):
        assert changed in page
    assert "<code>foo(<b>x</b>)</code>" in page


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p translate=no>a <b>c</b><p>a</p>", "<p translate=no>a <b>c</b><p>A</p>"),
        ("<p translate=no>a<h1>a</h1>", "<p translate=no>a<h1>A</h1>"),
        ("<ul><li translate=no>a<ul><li>a</ul><li>a</ul>", "<ul><li translate=no>a<ul><li>a</ul><li>A</ul>"),
        ("<ul><li translate=no>a</ul><p>a", "<ul><li translate=no>a</ul><p>A"),
        ("<td translate=no>a<th>a", "<td translate=no>a<th>A"),
    ],
)
def test_what_is_not_translated_ends_where_its_end_tag_was_left_out(page: str, expected: str):
    assert translated("html", page.encode()).decode() == expected


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<b translate=no>a<b translate=no>b</b>c<i translate=no>d</i>e", "<b>A<b>b</b>C<i>d</i>E"),
        ("<b translate=no>a<i translate=no>b</b>c</i>d", "<b>a<i>b</b>C</i>D"),
        (
            "<b translate=no>a</b>b<script>c<d='</script>e<b translate=no>f</b>g'",
            "<b>a</b>B<script>c<d='</script>E<b>f</b>G'",
        ),
        ("<div translate=no><script>'</div>'</script>a</div>b", "<div><script>'</div>'</script>a</div>B"),
        ("<li translate=no><script>a<b='</script>c</li>d'", "<li><script>a<b='</script>c</li>D'"),
    ],
)
def test_what_is_not_translated_ends_with_the_end_tag_that_is_its_own(page: str, expected: str):
    assert translated("html", page.encode()).decode().replace(" translate=no", "") == expected


def test_elements_that_are_not_closed_take_no_quadratic_time():
    for attribute in ("translate=no", "lang=fr"):
        document("html", "".join(f"<x{number} {attribute}>" for number in range(20_000)).encode())
    document("html", b"<script>" + b"</script " * 100_000)


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ('<html lang="en"><p>a <a lang="fr">b</a>', '<html lang="en"><p>A <a lang="fr">b</a>'),
        ('<p lang="fr">a</p><p lang="en-GB">b</p>', '<p lang="fr">a</p><p lang="en-GB">B</p>'),
        ('<html lang="fr"><p lang="">a</p><p lang="en">b</p>', '<html lang="fr"><p lang="">A</p><p lang="en">B</p>'),
        ('<body lang="fr"><p lang="ja">a</p>b', '<body lang="fr"><p lang="ja">a</p>B'),
    ],
)
def test_parts_of_a_page_in_other_languages_stay(page: str, expected: str):
    assert translated("html", page.encode()).decode() == expected


def test_what_is_said_of_an_element_is_translated_though_its_content_is_not():
    page = (
        b'<textarea placeholder="text">keep</textarea><iframe title="text" src="x">keep</iframe>'
        b'<optgroup label="text"><option label="text">TEXT</option></optgroup><p>A <code title="text">keep</code></p>'
    )
    assert translated("html", page) == page.replace(b'="text"', b'="TEXT"')
    page = page.replace(b" title", b' translate="no" title')
    written = translated("html", page)
    assert written.count(b'title="text"') == 2 and written.count(b'="TEXT"') == 3


def test_an_attribute_without_quotes_gets_some():
    assert translated("html", b"<img alt=a src=b>", lambda text: f'{text}" b') == b'<img alt="a&quot; b" src=b>'


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("html", '<img alt="use {{ x &quot; y=&quot; }}">', '<img alt="USE {{ x &quot; y=&quot; }}">'),
        ("html", "<img alt=a{{&quot;b&quot;}}>", '<img alt="A{{&quot;b&quot;}}">'),
        ("html", "<p title='a &lt;b c=&#39;d&#39;&gt; e'>", "<p title='A &lt;b c=&#x27;d&#x27;&gt; E'>"),
        ("html", """<p title="a {{ b['c'] }}">""", """<p title="A {{ b['c'] }}">"""),
        ("html", """<p title='a {{ b["c"] }}'>""", """<p title='A {{ b["c"] }}'>"""),
        ("markdown", '[a](x "b &lt;c d=&quot;e&quot;&gt;")', '[A](x "B &lt;c d=&quot;e&quot;&gt;")'),
    ],
)
def test_a_quote_in_a_code_does_not_end_its_attribute(form: str, text: str, expected: str):
    assert translated(form, text.encode()).decode() == expected


@pytest.mark.parametrize("comment", ["<!-->", "<!--->", "<!----!>", "<!-- > --!>", "<!---->", "<!--a--->"])
def test_a_comment_ends_where_a_browser_ends_it(comment: str):
    assert translated("html", f"<p>a{comment} b</p><p>c -- d</p>".encode()).decode() == (
        f"<p>A{comment} B</p><p>C -- D</p>"
    )


def test_a_section_of_xhtml_stays():
    assert translated("html", b"<p>a <![CDATA[b > c]]> a</p>") == b"<p>A <![CDATA[b > c]]> A</p>"


def test_code_of_a_template_in_a_page_stays():
    for code in ("<%= a.b > c %>", "<%- a %>", "<?= $a->b ?>", "<?php echo '>' ?>", "<% if a > b %>"):
        page = '<p>one {} two</p><p title="four {}" {}>three</p>'
        expected = page.upper().replace("P>", "p>").replace("<P TITLE", "<p title").format(code, code, code)
        assert translated("html", page.format(code, code, code).encode()).decode() == expected
    assert translated("html", b"<p>one <% if a %> two three", backwards) == b"<p>one <% if a %> three two"
    assert translated("html", b"<p>one <?php a") == b"<p>ONE <?php a"
    assert translated("html", b"5 <% of <? a") == b"5 &lt;% OF <? a"
    for begins in (b"<%", b"<?php ", b"<a <%", b"<a <?= "):  # and take no quadratic time
        document("html", b"a " + begins * 30_000)


def test_html_is_escaped():
    assert (
        translated("html", b"<p title='x'>a b</p>", lambda text: f"{text}'<&")
        == b"<p title='x&#x27;&lt;&amp;'>a b'&lt;&amp;</p>"
    )


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (b'<meta charset="ISO-8859-1"><p>it\x92s</p>', b"it\x92s\x80"),  # windows-1252, as the standard has it
        (b'<?xml version="1.0" encoding="iso-8859-2"?><p>\xb3</p>', b"\xb3&#8364;"),
        (b'<meta charset="utf-16"><p>it</p>', "it€".encode()),  # of what can be read byte by byte
    ],
)
def test_the_encoding_of_a_page_is_that_which_it_can_be(page: bytes, expected: bytes):
    assert translated("html", page, lambda text: f"{text}€").endswith(b"<p>" + expected + b"</p>")


@pytest.mark.parametrize("mark", ["# a", "- a", "1. a", "> a", "a *b* `c` [d](e) < f", "===", "| a", "_a_", "```"])
def test_a_translation_is_no_markup(mark: str):
    written = translated("markdown", b"word\n", lambda text: mark).decode()
    (paragraph,) = [token for token in MarkdownIt().parse(written) if token.type == "inline"]
    assert paragraph.children is not None
    assert "".join(child.content for child in paragraph.children) == mark


@pytest.mark.parametrize(
    "mark", ["# a", "#", "- a", "-", "--", "---", "=", "+ a", "> a", "~~~ a", "1. a", "1.", "12) a", "a #", "##"]
)
@pytest.mark.parametrize(
    "text",
    [
        "{}\n",
        "# {}\n",
        "## {} ##\n",
        "- {}\n",
        "c  \n{}\n",
        "> c\\\n> {}  \n> c\n",
        "| a |\n|---|\n| {} |\n",
        "c | d\n--|--\n{} | e\n",
        "{} | d\n--|--\n",
    ],
)
def test_a_translation_begins_or_ends_no_block(text: str, mark: str):
    def blocks(data: str) -> list[tuple[str, str]]:
        tokens = MarkdownIt().enable("table").parse(data)
        return [(token.type, "".join(child.content for child in token.children or [])) for token in tokens]

    written = translated("markdown", text.format("word").encode(), lambda text: mark if text == "word" else text)
    assert blocks(written.decode()) == [
        (kind, content.replace("word", mark)) for kind, content in blocks(text.format("word"))
    ]


def test_signs_of_a_block_stay_as_they_are_if_the_source_has_them():
    for text in (b"| a\n", b"c  \n2. a\n", b"== a\n"):
        assert translated("markdown", text) == text.upper()
    assert translated("markdown", b"**a b**: `c`\n", lambda _: "- d") == b"\\- **d** `c`\n"


def test_a_translated_title_does_not_end_its_link_or_cell():
    for text in (b'[a](x "b")\n', b'| [a](x "b") |\n|---|\n'):
        written = translated("markdown", text, lambda text: "c|d\\" if text == "b" else text)
        assert written == text.replace(b"b", b"c\\|d\\\\")


def test_markdown_keeps_its_blocks():
    def blocks(data: bytes) -> list[str]:
        return [token.type for token in MarkdownIt().enable("table").parse(data.decode())]

    written = translated("markdown", MARKDOWN)
    assert blocks(written) == blocks(MARKDOWN)
    for kept in (
        b"title: Keep",
        b"`code`",
        b"http://x.org/a_(b)",
        b"    code\n",
        b"fence text",
        b"$a_i + b$",
        b"[ ] TASK",
    ):
        assert kept in written
    assert b"SEE [REF][ref] OR [TEXT][ref]" in written
    assert b"![ALT TEXT](a.png)" in written
    assert b"\n  > SECOND\n" in written
    assert b"| A HEAD | B \\| C |" in written


@pytest.mark.parametrize(
    "kept",
    [
        "{first_name}",
        "{first\\_name}",
        "{{ a_b * c_d }}",
        "%(a_b)s",
        "<%= a_b * c %>",
        "https://example.org/my_page_1",
        "www.example.org/a~~b",
        "first_and_last@example.org",
    ],
)
def test_signs_of_markdown_do_not_divide_a_placeholder_or_an_address(kept: str):
    for text, expected in [(f"see {kept} now", f"SEE {kept} NOW"), (f"a_b *{kept} c* d", f"A_B *{kept} C* D")]:
        assert translated("markdown", text.encode()).decode() == expected


def test_a_sign_that_was_escaped_somewhere_is_escaped_everywhere():
    assert translated("markdown", b"a * b \\*c\\*").decode() == "A \\* B \\*C\\*"


@pytest.mark.parametrize("fence", ["---", "+++"])
def test_front_matter_stays(fence: str):
    front = f'{fence}\ntitle = "a"\n{fence}\n'.encode()
    assert translated("markdown", front + b"text\n") == front + b"TEXT\n"


def test_brackets_in_brackets_take_no_quadratic_time():
    data = b"[" * 30_000 + b"a" + b"]" * 30_000
    assert translated("markdown", data) == data.replace(b"a", b"A")
    for data in (b"[^1" * 30_000, b'<a class="' + b"notranslate " * 30_000, b"b <a " + b"class=x " * 30_000 + b">"):
        assert document("markdown", data).units


def test_code_of_markdown_ends_with_as_many_backticks_as_it_begins_with():
    for text, expected in [
        ("a ``b`c`` d `e", "A ``b`c`` D `E"),
        ("a ``` b `c``d` ``", "A ``` B `c``d` ``"),
        ("\\`a `b` `c\nd`", "\\`A `b` `c d`"),
    ]:
        assert translated("markdown", text.encode()).decode() == expected
    runs = [number * "`" for number in range(1, 4000)]
    assert len(marks(" ".join(runs), set())) == 2 * len(runs) - 1  # and take no quadratic time


def test_what_looks_like_an_entity_does_not_become_one():
    assert translated("markdown", b"a &amp;lt; \\&copy; &amp; b & c\n") == b"A \\&LT; \\&COPY; & B & C\n"


def test_the_label_of_a_heading_stays():
    assert translated("markdown", b"## a b {#label .class}\n") == b"## A B {#label .class}\n"


def test_a_note_of_github_keeps_its_mark():
    assert translated("markdown", b"> [!NOTE]\n> some text\n") == b"> [!NOTE]\n> SOME TEXT\n"


def test_names_of_emoji_in_markdown_stay():
    text = b"a :smile: b :+1: c: d: 12:30:15 e::f:: g\n"
    assert translated("markdown", text) == b"A :smile: B :+1: C: D: 12:30:15 E::F:: G\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (":::tip Keep\na b\n:::", ":::tip Keep\nA B\n:::"),
        ("> :::tip\n> a\n> :::", "> :::tip\n> A\n> :::"),
        ('!!! note "Keep"\n    a b', '!!! note "Keep"\n    A B'),
        ("term\n: a\n: b", "TERM\n: A\n: B"),
        ("[^1]: a b\n  c\n[^2]: d", "[^1]: A B C\n[^2]: D"),
        ("> [^1]: a b\n> [^2]: c", "> [^1]: A B\n> [^2]: C"),
        ("a b\n{: .name}", "A B\n{: .name}"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_extensions_of_markdown_stay_lines(text: str, expected: str, end: str):
    assert translated("markdown", text.replace("\n", end).encode()) == expected.replace("\n", end).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('a <b translate="no">Brand</b>', 'A <b translate="no">Brand</b>'),
        ('a <i class="x notranslate">Name</i>', 'A <i class="x notranslate">Name</i>'),
        ('a <img src="x" alt="of it">', 'A <img src="x" alt="OF IT">'),
        ("[a](x \"tom & i\") ![b](y 'c')", "[A](x \"TOM &amp; I\") ![B](y 'C')"),
    ],
)
def test_markdown_is_read_as_html_is(text: str, expected: str):
    assert translated("markdown", text.encode()).decode() == expected


def test_lines_of_a_subtitle_stay_lines():
    lines = translated("srt", SRT, lambda text: text.replace("dear", 4 * "dear")).decode().split("\r\n")
    assert lines[2:4] == ["<i>Hello my deardeardeardear", "old friend of</i> mine"]
    assert b"- HI.\r\n- {\\an8}HELLO!\r\n" in translated("srt", SRT)
    assert translated("vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\na\n", lambda _: "x --> y") == (
        b"WEBVTT\n\n00:01.000 --> 00:02.000\nx --&gt; y\n"
    )
    assert b"\nx -> y\n" in translated("srt", b"1\n00:00:01,0 --> 00:00:02,0\na\n", lambda _: "x --> y")


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("markdown", "- [ ] a b"),
        ("markdown", "[^1]: a b[^2]"),
        ("markdown", "## a b {#here}"),
        ("html", '<label><input type="checkbox"> a b<img src="x"></label>'),
    ],
)
def test_what_is_no_word_stays_at_the_ends_of_a_text(form: str, data: str):
    segments = segments_of(document(form, data.encode()), marked=True)
    assert segments.texts == ["a b"]
    assert not segments.flats[0].places


def test_alternative_texts_of_pictures_in_a_docx_are_translated():
    picture = '<w:r><w:drawing><wp:docPr xmlns:wp="x" name="Picture" descr="{}" title=\'\'/></w:drawing></w:r>'
    for text, expected in [("{}", "{}"), (run("see ") + "{}" + run(" now"), run("SEE ") + "{}" + run(" NOW"))]:
        data = with_body("<w:p>" + text.format(picture.format("a &quot;dog&#10;b")) + "</w:p>")
        written = parts_of(translated("docx", data))["word/document.xml"].decode()
        assert "<w:p>" + expected.format(picture.format("A &quot;DOG&#10;B")) + "</w:p>" in written


def test_quotes_of_a_tag_in_an_attribute_of_a_docx_do_not_end_it():
    tag = "&lt;a href=&quot;x&quot; title=&apos;y&apos;&gt;"
    picture = f'<w:p><w:r><w:drawing><wp:docPr xmlns:wp="x" descr="{{}} {tag} {{}}"/></w:drawing></w:r></w:p>'
    written = parts_of(translated("docx", with_body(picture.format("press the", "now"))))["word/document.xml"].decode()
    assert picture.format("PRESS THE", "NOW") in written


def test_sections_and_comments_in_the_text_of_a_docx_are_no_text():
    texts = "a<![CDATA[ & b]]> c", "<!-- c -->abc"
    data = with_body("".join(f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>" for text in texts))
    written = parts_of(translated("docx", data))["word/document.xml"].decode()
    assert ">A &amp; B C<" in written and ">ABC<" in written


def test_text_of_a_docx_that_is_not_read_is_told_of(monkeypatch: pytest.MonkeyPatch):
    warnings: list[str] = []
    monkeypatch.setattr("s2s_cli.console.warn", warnings.append)
    for text, expected in [("<a:t> </a:t>", 0), ("<a:t> Sales</a:t>", 1)]:
        data = archive({"word/document.xml": DOCUMENT, "word/charts/chart1.xml": f"<c>{text}</c>"})
        assert parts_of(translated("docx", data))["word/charts/chart1.xml"].decode() == f"<c>{text}</c>"
        assert warnings == ["x.docx: left as it was, since the text of charts and diagrams is not read"] * expected


def test_the_number_of_a_note_in_a_docx_stays_at_its_beginning():
    data = with_body(f"<w:p><w:r><w:footnoteRef/></w:r>{run(' a b')}</w:p>")
    [flat] = segments_of(document("docx", data), marked=True).flats
    assert flat.text == "a b" and not flat.places


@pytest.mark.parametrize(
    ("lines", "texts"),
    [
        ("- a b\n<i>- c</i>\nd", ["a b", "c d"]),
        ("<i>♪ a b ♪\n♪ c</i>\nd ♪", ["a b", "c d"]),
        ("[DOOR]\nMAN 2: a\nO'NEIL: b c", ["[DOOR]", "MAN 2: a", "O'NEIL: b c"]),
        ("(sighs)\na (b)\nhe said: c\n(d e", ["(sighs)", "a (b) he said: c (d e"]),
        ("{\\an8}Они\nговорят: да", ["Они говорят: да"]),
    ],
)
def test_lines_of_a_subtitle_are_one_text_unless_they_are_several(lines: str, texts: list[str]):
    cue = f"1\n00:00:01,0 --> 00:00:02,0\n{lines}\n".encode()
    assert segments_of(document("srt", cue)).texts == texts


def test_what_is_less_and_more_in_a_subtitle_is_no_tag():
    cue = "1\n00:00:01,0 --> 00:00:02,0\n{}\n"
    text = cue.format("if a < b then c > d <i>e</i>")
    expected = cue.format("IF A < B THEN C > D <i>E</i>")
    assert translated("srt", text.encode()).decode() == expected


def test_signs_at_the_ends_of_a_subtitle_stay_there():
    for form, head, cue in [
        ("srt", "1\n00:00:01,0 --> 00:00:02,0", "{\\an8}<i>- a b ♪</i>"),
        ("vtt", "WEBVTT\n\n00:01.000 --> 00:02.000", "<00:01.500>- a b"),
    ]:
        cues = document(form, f"{head}\n{cue}\n".encode())
        assert segments_of(cues, marked=True).texts == ["a b"]
        assert translated(form, f"{head}\n{cue}\n".encode()).decode() == f"{head}\n{cue.replace('a b', 'A B')}\n"


def test_many_lines_of_a_subtitle_take_no_quadratic_time():
    cue = b"1\n00:00:01,0 --> 00:00:02,0\n" + b"a b\n" * 40_000
    assert translated("srt", cue) == cue.replace(b"a b", b"A B")


def test_lines_without_spaces_are_broken_between_characters():
    cue = b"1\n00:00:01,0 --> 00:00:02,0\na\nb\nc\n"
    written = translated("srt", cue, lambda _: "我们明天去北京，好不好？").decode()
    assert written.splitlines()[2:] == ["我们明天", "去北京，", "好不好？"]


def test_subtitles_without_empty_lines_between_them():
    data = b"1\n00:00:01,0 --> 00:00:02,0\na b\n2\n00:00:03,0 --> 00:00:04,0\nc\n"
    assert translated("srt", data) == data.replace(b"a b", b"A B").replace(b"c\n", b"C\n")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n"])
def test_text_after_an_empty_line_of_a_subtitle_is_a_text_of_its_own(end: str):
    data = "1\n00:00:01,0 --> 00:00:02,0\n\na b\n\nc\n1984\n\n\n2\n00:00:03,0 --> 00:00:04,0\nd\n"
    data = data.replace("\n", end)
    assert translated("srt", data.encode()).decode() == data.replace("a b", "A B").replace("c", "C").replace("d", "D")


@pytest.mark.parametrize(
    "timing",
    [
        "00:00:03 --> 00:00:04",
        "0:03.5-->0:04.5",
        "00:00:03:0 --> 00:00:04:0",
        "00: 00: 03, 0 -> 00: 00: 04, 0",
        "-0:1 --> 0:1",
    ],
)
def test_times_of_a_subtitle_that_few_players_read_are_no_text(timing: str):
    data = f"1\n00:00:01,0 --> 00:00:02,0\na b\n\n2\n{timing}\nc d\n"
    assert segments_of(document("srt", data.encode())).texts == ["a b", "c d"]
    assert translated("srt", data.encode()).decode() == data.replace("a b", "A B").replace("c d", "C D")


@pytest.mark.parametrize("line", ["10:30 -> 18:00 every day", "1.0 -> 2.0 upgrade", "5:4 -> 3:4"])
def test_what_looks_like_times_in_the_text_of_a_subtitle_is_text(line: str):
    data = f"1\n00:00:01,0 --> 00:00:02,0\na b\n{line}\n".encode()
    assert segments_of(document("srt", data)).texts == [f"a b {line}"]


@pytest.mark.parametrize(
    "timing",
    [
        "00:00:03,0 –> 00:00:04,0",
        "00:00:03,0 → 00:00:04,0",
        "00:00:0O,0 --> 00:00:04,0",
        "{\\an8}00:00:03,0 --> 00:00:04,0",
    ],
)
def test_a_subtitle_with_damaged_times_stays_as_it_is_and_is_told_of(timing: str):
    data = f"1\n00:00:01,0 --> 00:00:02,0\na b\n\n2\n{timing}\nc d\ne\n\n3\n00:00:05,0 --> 00:00:06,0\nf\n"
    assert translated("srt", data.encode()).decode() == data.replace("a b", "A B").replace("f\n", "F\n")
    ((reason, [unit]),) = document("srt", data.encode()).skipped.items()
    assert "times are damaged" in reason and data[unit.start : unit.end] == f"2\n{timing}\nc d\ne"


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        ("1\n00:01.000 --> 00:02.000 align:start\na\n\n2\n00:03.000 --> 00:04.000 X1:2\nb\n", ["a", "b"]),
        ("1\n00:00:01,0 --> 00:00:02,0\na\n\n3:\n00:01:02 -> 00:01:03\nb\n", ["a", "b"]),
        ("00:00:01,0 --> 00:00:02,0\na\n\nb\n00:00:01,0 --> 00:00:02,0\nc\n", ["a", "b", "c"]),
        ("\ufeff00:00:01,0 --> 00:00:02,0\na\n\n<T>\nb\n", ["a", "b"]),
        ("1\n00:00:01,0 --> 00:00:02,0\na\n\n2\nFrom 10:30 to 11:45\n", ["a", "2 From 10:30 to 11:45"]),
    ],
)
def test_subtitles_in_the_forms_of_many_programs_are_read_whole(data: str, texts: list[str]):
    found = document("srt", data.encode())
    assert segments_of(found).texts == texts and not found.skipped


@pytest.mark.parametrize(
    ("form", "data"),
    [
        ("srt", "1\n00:00:0O,0 --> 00:00:02,0\na\n\n2\n00:00:03,0 --> 00:00:04,0\nb\n"),
        ("vtt", "WEBVTT\n\n00:01.000 --> 00:02.000\nb\n\n00:0O.000 --> 00:04.000\nc\n"),
    ],
)
def test_of_damaged_times_outside_all_subtitles_it_is_told_too(form: str, data: str):
    found = document(form, data.encode())
    assert segments_of(found).texts == ["b"]
    assert [len(units) for units in found.skipped.values()] == [1]


@pytest.mark.parametrize("name", ["2a", "Subtitle 2", "#2"])
def test_a_name_before_the_times_of_a_subtitle_is_no_text(name: str):
    data = f"1\n00:00:01,0 --> 00:00:02,0\na b\n\n{name}\n00:00:03,0 --> 00:00:04,0\nc d\n"
    assert translated("srt", data.encode()).decode() == data.replace("a b", "A B").replace("c d", "C D")


def test_text_after_an_empty_line_of_webvtt_is_of_no_cue():
    data = b"WEBVTT\n\n00:01.000 --> 00:02.000\na b\n\nNOTE\nc --> d\n\ne\n00:03.000 --> 00:04.000\nf\n"
    assert segments_of(document("vtt", data)).texts == ["a b", "f"]


def parts_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.testzip() is None
        return {name: file.read(name) for name in file.namelist()}


def test_docx_keeps_its_other_parts_in_their_order():
    before, after = parts_of(DOCX), parts_of(translated("docx", DOCX))
    assert list(before) == list(after)
    assert {name for name in before if before[name] != after[name]} == {"word/document.xml", "word/footnotes.xml"}
    text = after["word/document.xml"].decode()
    assert '<w:r><w:rPr><w:b/></w:rPr><w:t xml:space="preserve">BOLD TEXT</w:t></w:r>' in text
    assert '<w:t xml:space="preserve">IN A BOX</w:t>' in text
    assert '<w:t xml:space="preserve">GO HERE</w:t>' in text  # the text of a link
    assert "<w:t>one</w:t>" in text  # the result of a field
    assert '<w:r><w:tab/></w:r><w:r><w:t xml:space="preserve">END &amp; MORE</w:t></w:r>' in text


def test_docx_stays_sound_whatever_the_order_of_words():
    text = parts_of(translated("docx", DOCX, backwards))["word/document.xml"].decode()
    assert text.index("BOLD TEXT".lower().split()[1]) < text.index("Hello")
    assert text.count("<w:r>") == text.count("</w:r>")
    assert text.count("</w:hyperlink>") == 1


def with_body(body: str) -> bytes:
    start, end = DOCUMENT.index("<w:p>"), DOCUMENT.index("</w:body>")
    return archive({"word/document.xml": DOCUMENT[:start] + body + DOCUMENT[end:]})


def run(text: str) -> str:
    return f'<w:r><w:t xml:space="preserve">{text}</w:t></w:r>'


def test_docx_knows_a_placeholder_that_was_cut_into_runs():
    mark = '<w:proofErr w:type="{}"/>'
    runs = run("dear {") + mark.format("spellStart") + run("name") + mark.format("spellEnd") + run("}, see www.exam")
    data = with_body(f"<w:p>{runs}{run('ple.com/x now')}</w:p>")
    written = parts_of(translated("docx", data))["word/document.xml"].decode()
    assert f"<w:p>{run('DEAR {name}, SEE www.example.com/x NOW')}</w:p>" in written


@pytest.mark.parametrize(
    ("form", "other"),
    [
        ("", "<w:rPr/>"),
        ("", "<w:rPr></w:rPr>"),
        ("", '<w:rPr><w:lang w:val="en-US"/></w:rPr>'),
        ("", "<w:rPr><w:noProof/></w:rPr>"),
        ("<w:rPr><w:b/></w:rPr>", "<w:rPr><w:b/><w:noProof/></w:rPr>"),
    ],
)
def test_a_format_of_a_docx_that_is_not_seen_divides_no_text(form: str, other: str):
    for one, two in [(form, other), (other, form)]:
        first, second = (f'<w:r>{each}<w:t xml:space="preserve">{{}}</w:t></w:r>' for each in (one, two))
        runs = first.format("dear {na") + second.format("me}, see http://exam") + first.format("ple.org/a")
        written = parts_of(translated("docx", with_body(f"<w:p>{runs}</w:p>")))["word/document.xml"].decode()
        assert f"<w:p>{first.format('DEAR {name}, SEE http://example.org/a')}</w:p>" in written


def test_the_usual_format_of_a_docx_is_of_the_look_that_most_of_the_text_has():
    bold = '<w:r><w:rPr><w:b/></w:rPr><w:t xml:space="preserve">{}</w:t></w:r>'
    plain = '<w:r><w:rPr><w:lang w:val="{}"/></w:rPr><w:t xml:space="preserve">{}</w:t></w:r>'
    mark = "<w:bookmarkEnd/>"  # so that they are not one text
    runs = mark.join([plain.format("en", "one of"), plain.format("fr", " the"), bold.format(" two ten")])
    written = parts_of(translated("docx", with_body(f"<w:p>{runs}</w:p>")))["word/document.xml"].decode()
    assert plain.format("en", " THE") in written and bold.format("TWO TEN") in written


def test_a_raised_number_is_no_part_of_a_word():
    page = '<p>a b<sup><a href="#n">[1]</a></sup>, c<sub>2</sub>d 5 m<sup>2</sup></p>'
    assert segments_of(document("html", page.encode())).texts == ["a b, c2d 5 m"]
    assert translated("html", page.encode()).decode() == page.replace("a b", "A B").replace("c<", "C<").replace(
        "d 5 m", "D 5 M"
    )
    text = "a b<sup>1</sup>, c"
    assert segments_of(document("markdown", text.encode())).texts == ["a b, c"]
    assert translated("markdown", text.encode()) == b"A B<sup>1</sup>, C"
    raised = '<w:r><w:rPr><w:vertAlign w:val="superscript"/></w:rPr><w:t xml:space="preserve">{}</w:t></w:r>'
    data = with_body(f"<w:p/><w:p>{run('a b')}{raised.format(1)}{run('. 1')}{raised.format('st')}{run(' c')}</w:p>")
    assert segments_of(document("docx", data)).texts == ["a b. 1st c"]
    written = parts_of(translated("docx", data))["word/document.xml"].decode()
    assert f"<w:p>{run('A B')}{raised.format(1)}{run('. 1')}{raised.format('ST')}{run(' C')}</w:p>" in written


def test_separators_of_a_menu_divide_texts():
    page = '<a href="x">a b</a> | <a href="y">c</a> · <a>d</a>'
    assert segments_of(document("html", page.encode())).texts == ["a b", "c", "d"]
    shouted = page.replace("a b", "A B").replace(">c", ">C").replace(">d", ">D")
    assert translated("html", page.encode()).decode() == shouted


def test_the_spaces_around_a_link_in_a_docx_do_not_look_like_it():
    link = '<w:hyperlink w:anchor="a"><w:r><w:rPr><w:u/></w:rPr><w:t xml:space="preserve">{}</w:t></w:r></w:hyperlink>'
    data = with_body(f"<w:p>{run('see ')}{link.format('a long link text')}{run(' now')}</w:p>")
    text = parts_of(translated("docx", data))["word/document.xml"].decode()
    assert f"<w:p>{run('SEE ')}{link.format('A LONG LINK TEXT')}{run(' NOW')}</w:p>" in text


def test_docx_keeps_words_apart_from_formulas_and_whole_over_pages():
    formula = "<m:oMath xmlns:m='x'/>"
    pages = "<w:r><w:t>on the next pa</w:t><w:lastRenderedPageBreak/><w:t>ge</w:t></w:r>"
    data = with_body(f"<w:p>{run('if ')}{formula}{run(' holds ')}{pages}</w:p>")
    written = parts_of(translated("docx", data))["word/document.xml"].decode()
    assert f"<w:p>{run('IF ')}{formula}{run(' HOLDS ON THE NEXT PAGE')}</w:p>" in written


def test_a_field_over_several_paragraphs_does_not_move():
    mark = '<w:r><w:fldChar w:fldCharType="{}"/></w:r>'
    field = f"<w:p><w:r><w:t>a b</w:t></w:r>{mark.format('begin')}<w:r><w:t>c d</w:t></w:r></w:p>"
    body = f"{field}<w:p>{mark.format('end')}<w:r><w:t>e f</w:t></w:r></w:p>"
    text = parts_of(translated("docx", with_body(body), backwards))["word/document.xml"].decode()
    assert [text.index(each) for each in ("b a", "begin", "d c", "end", "f e")] == sorted(
        text.index(each) for each in ("b a", "begin", "d c", "end", "f e")
    )


BEGIN, SEPARATE, END = (f'<w:fldChar w:fldCharType="{kind}"/>' for kind in ("begin", "separate", "end"))
REFERENCE = f"{BEGIN}<w:instrText> REF x </w:instrText></w:r><w:r>{SEPARATE}<w:t>Figure 1</w:t>{END}"
LINK = f"{BEGIN}<w:instrText> HYPERLINK x </w:instrText></w:r><w:r>{SEPARATE}"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (f"{{see}}{REFERENCE}{{more}}", f"{{see}}|{REFERENCE}|{{more}}"),
        (f"{{see}}{LINK}{{more}}{END}{{more}}", f"{{see}}|{LINK}|{{more}}|{END}|{{more}}"),
        (f"{{see}}{END}{{more}}", f"{{see}}|{END}|{{more}}"),
        (f"{REFERENCE}{{more}}{REFERENCE}", f"{REFERENCE}|{{more}}|{REFERENCE}"),
    ],
)
def test_text_beside_the_mark_of_a_field_in_a_docx_is_translated(body: str, expected: str):
    body, expected = (f"<w:p><w:r>{each}</w:r></w:p>".replace("|", "</w:r><w:r>") for each in (body, expected))
    text = {"see": '<w:t xml:space="preserve">see it, </w:t>', "more": '<w:t xml:space="preserve">and more</w:t>'}
    shouted = {name: each.replace("see it", "SEE IT").replace("and more", "AND MORE") for name, each in text.items()}
    data = translated("docx", with_body(body.format(**text)))
    assert expected.format(**shouted) in parts_of(data)["word/document.xml"].decode()


def test_a_field_of_a_docx_has_the_format_of_the_run_that_it_begins_in():
    form = "<w:rPr><w:b/></w:rPr>"
    data = with_body(f"<w:p>{run('see it and ')}<w:r>{form}<w:t>the </w:t>{REFERENCE}<w:t> now</w:t></w:r></w:p>")
    written = parts_of(translated("docx", data))["word/document.xml"].decode()
    assert f"<w:r>{form}{REFERENCE}</w:r>{run(' NOW')}</w:p>" in written


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("<w:r><w:ruby><w:rt>{t}</w:rt><w:rubyBase><w:r>{t}</w:r></w:rubyBase></w:ruby></w:r>", "w:ruby"),
        ("<w:alternative><w:choice><w:r>{t}</w:r></w:choice></w:alternative>", "w:alternative"),
        ("<w:r><w:alternative><w:box><w:p><w:r>{t}</w:r></w:p></w:box></w:alternative></w:r>", ""),
        ("<w:fldSimple><w:r>{t}</w:r></w:fldSimple><w:moveFrom><w:r>{t}</w:r></w:moveFrom>", ""),
        ("<w:r><w:ruby><w:t> </w:t></w:ruby></w:r>", ""),
    ],
)
def test_text_of_elements_of_a_docx_that_are_not_read_is_told_of(
    content: str, name: str, capsys: pytest.CaptureFixture[str]
):
    content = content.format(t="<w:t>a</w:t>")
    written = parts_of(translated("docx", with_body(f"<w:p>{run('b ')}{content}</w:p><w:p>{content}</w:p>")))
    assert run("B ") in written["word/document.xml"].decode()
    told = f"x.docx: word/document.xml: left as it was, since the text in <{name}> is not read (the first of 2)"
    assert capsys.readouterr().err == (f"warning: {told}\n" if name else "")


def test_hostile_archives_are_refused(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match="no document of a word processor"):
        document("docx", archive({"../../evil": "x"}))
    bomb = archive({"word/document.xml": DOCUMENT, "word/media/a": b"\0" * (1 << 20)}, compression=zipfile.ZIP_DEFLATED)
    monkeypatch.setattr(docx, "MOST_UNPACKED", 1 << 19)
    with pytest.raises(DataError, match="more than a document may have"):
        document("docx", bomb)
    with pytest.warns(UserWarning), pytest.raises(DataError, match="the same name"):
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as file:
            file.writestr("word/document.xml", DOCUMENT)
            file.writestr("word/document.xml", DOCUMENT)
        document("docx", written.getvalue())
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as file:
        file.writestr("word/document.xml", DOCUMENT)
    packed.getbuffer()[packed.getvalue().index(b"word/document.xml") + 30] ^= 255
    with pytest.raises(DataError, match="damaged document: Corrupt input data"):
        document("docx", packed.getvalue())
    broken = bytearray(DOCX)
    broken[DOCX.index(b"picture")] ^= 1
    with pytest.raises(DataError, match="damaged document: the part word/media/a.png"):
        document("docx", bytes(broken))
