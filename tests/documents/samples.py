# ruff: noqa: E501
"""Small files of each format, as programs write them."""

from __future__ import annotations

import io
import zipfile

PLAIN = "\ufeffHello world.\r\n\r\n  - Press {key} or see https://example.com/a?b=c.\t\r\n42\r\nThe end".encode()

PO = rb"""# Translations of a program.
#, fuzzy
msgid ""
msgstr ""
"Project-Id-Version: program 1.0\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=3; plural=n%10==1 && n%100!=11 ? 0 : n != 0 ? 1 : 2;\n"

#: main.c:12
#, c-format
msgid "Cannot open %s: it is 100%% full\n"
msgstr ""

#. A comment
msgctxt "menu"
msgid "<b>Open</b> the \"file\""
msgstr ""

msgid "done"
msgstr "fertig"

#, fuzzy
#| msgid "old text"
msgid "new text"
msgstr "alter Text"

#, c-format
msgid "One file"
msgid_plural "%d files in %s"
msgstr[0] ""
msgstr[1] ""
msgstr[2] ""

msgid ""
"A long paragraph that has been wrapped by some tool of the gettext kind, and "
"goes on.\n"
"\tA second line."
msgstr ""

#, ruby-format
msgid "Use --help   or %{name}, @all"
msgstr ""

#, scheme-format
msgid "Unknown ~a"
msgstr ""

#, fuzzy
#~ msgid "obsolete"
#~ msgstr ""
"""

XLIFF1 = b"""<?xml version="1.0" encoding="UTF-8"?>
<!-- made by hand -->
<xliff version='1.2' xmlns="urn:oasis:names:tc:xliff:document:1.2">
  <file original="a.txt" source-language="en" target-language="de" datatype="plaintext">
    <body>
      <group id="g">
        <trans-unit id="1" resname="x">
          <source>Hello <g id="1">big &amp; &#119;ide</g> world<x id="2"/>!</source>
          <note>Keep <it id="9">this</it></note>
        </trans-unit>
      </group>
      <trans-unit id="2"><source>Read &lt;b&gt;this&lt;/b&gt;</source><target  /></trans-unit>
      <trans-unit id="3"><source>Done</source><target state="final">Fertig</target></trans-unit>
      <trans-unit id="4"><source>Again</source><target state="new" state-qualifier="mt-suggestion">Again</target></trans-unit>
      <trans-unit id="5" translate="no"><source>Keep</source></trans-unit>
      <trans-unit id="6" xml:space="preserve"><source>First line
  second line</source></trans-unit>
      <trans-unit id="7"><source>A <bpt id="1">&lt;b></bpt>bold<ept id="1">&lt;/b></ept> one. Two.</source><seg-source><mrk
 mtype="seg" mid="0">A <bpt id="1">&lt;b></bpt>bold<ept id="1">&lt;/b></ept> one.</mrk> <mrk mtype="seg" mid="1">Two.</mrk></seg-source></trans-unit>
      <trans-unit id="8"><source><![CDATA[Raw <i>text</i> & more]]></source></trans-unit>
      <trans-unit id="9"><source>A <bx id="1"/>crossing <g id="2">of<ex id="1"/> pairs</g></source></trans-unit>
    </body>
  </file>
</xliff>
"""

XLIFF2 = b"""<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.0" srcLang="en">
 <file id="f"><unit id="1">
  <originalData><data id="d1">%s</data></originalData>
  <segment subState="x:y" state="initial">
   <source>Press <pc id="1">the button</pc> <ph id="2" dataRef="d1"/> now <sc id="3"/>fast<ec startRef="3"/></source>
  </segment>
  <ignorable><source> </source></ignorable>
  <segment><source>Done</source><target>Fertig</target></segment>
 </unit>
 <unit id="2" translate="no"><segment><source>Keep</source></segment></unit></file>
</xliff>"""

TMX = """<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en-US" datatype="plaintext"/><body>
  <tu tuid="1">
    <tuv xml:lang="en-US">
      <seg>A caf\xe9 <bpt i="1">{b}</bpt>in Paris<ept i="1">{/b}</ept> <hi>there</hi></seg>
    </tuv>
  </tu>
  <tu><tuv xml:lang="en"><seg>Done</seg></tuv><tuv xml:lang="DE-at"><seg>Fertig</seg></tuv></tu>
  <tu><tuv xml:lang="fr"><seg>Bonjour</seg></tuv></tu>
</body></tmx>""".encode("latin-1")

SRT = (
    b"1\r\n00:00:01,000 --> 00:00:02,500\r\n<i>Hello my dear old\r\nfriend of</i> mine\r\n\r\n"
    b"2\r\n00:00:03,000 --> 00:00:04,000 X1:1\r\n- Hi.\r\n- {\\an8}Hello!\r\n\r\n3\r\n00:00:05,000 --> 00:00:06,000\r\n\xe2\x99\xaa End \xe2\x99\xaa\r\nMAN: Yes"
)

VTT = b"""WEBVTT - a title

NOTE a comment
of two lines

STYLE
::cue(b) { color: red }

first
00:01.000 --> 00:02.000 align:start
<v Bob>Tom &amp; I <c.loud>run</c>

00:03.000 --> 00:04.000
It is <00:03.500>late
"""

HTML = b"""<!DOCTYPE html>
<html lang="en"><head><title>My page &amp; more</title><meta name="description" content='The best page'>
<script>if (a < b) { x = "<p>text</p>"; }</script><style>p > a {}</style></head>
<body>
  <p>Hello <b>bold <i>world</i></b>,&nbsp;see <a href="x.html" title="A title">this link</a> and <code>foo(<b>x</b>)</code>.</p>
  <p>An <img src=a.png alt="an image"> here.<br>After a break {{ name }}</p>
  <ul><li>One<li>Two &lt;tag&gt;</ul>
  <pre>keep this</pre><p translate="no">No way</p><p>A <span class="notranslate">Brand</span> name</p>
  <!-- comment --> tail <b><i>crossed</b></i> text<sup>1</sup> <a>one</a> | <a lang="fr">deux</a> <input type=submit value='Send'> <code>unclosed
</body></html>
"""

MARKDOWN = b"""---
title: Keep
---
# Title of *it* #

A paragraph with **bold text** and `code` and [a link](http://x.org/a_(b) "t").
It goes on,\x20\x20
after a hard break; see [ref] or [text][ref] and snake_case or 2 \\* 3 &amp; more.

- item one
  > quote `x` with\x20\x20
  > second
  > - deep

1. [ ] task ![alt text](a.png) end

| a head | b \\| c |
|---|---|
| d *x* | [e](x) |

[ref]: http://x "t"

<div align="center"><b>html</b> block</div>

Setext
======

    code

```
fence text
```
Price $5 and $10, math $a_i + b$.

:::note Keep
- [x] a note[^1] <b translate="no">Brand</b>
:::

term
: its meaning

[^1]: of it
"""

_NAMESPACE = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_BODY = """<w:p><w:pPr><w:jc w:val="left"/></w:pPr><w:r w:rsidR="1"><w:t>Hello </w:t></w:r><w:proofErr w:type="spellStart"/>\
<w:r><w:t xml:space="preserve">wor</w:t></w:r><w:proofErr w:type="spellEnd"/><w:r><w:t>ld, </w:t></w:r>\
<w:r><w:rPr><w:b/></w:rPr><w:t>bold text</w:t></w:r><w:r><w:t xml:space="preserve"> and </w:t></w:r>\
<w:hyperlink r:id="rId1" xmlns:r="x"><w:r><w:rPr><w:u/></w:rPr><w:t>a link</w:t></w:r></w:hyperlink>\
<w:r><w:t>.</w:t></w:r><w:r><w:footnoteReference w:id="1"/></w:r></w:p>
<w:p><w:r><w:t>Page </w:t></w:r><w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> PAGE </w:instrText></w:r>\
<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t>one</w:t></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>\
<w:r><w:tab/><w:t>end &amp; more</w:t></w:r></w:p>
<w:p><w:r><w:drawing><w:txbxContent><w:p><w:r><w:t>In a box</w:t></w:r></w:p></w:txbxContent></w:drawing></w:r>\
<w:r><w:t>Outer text</w:t></w:r></w:p>
<w:p><w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText> HYPERLINK "x" </w:instrText></w:r>\
<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t>Go here</w:t></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r></w:p>"""
DOCUMENT = f'<?xml version="1.0" encoding="UTF-8"?>\n<w:document {_NAMESPACE}><w:body>{_BODY}</w:body></w:document>'
_NOTES = f"<w:footnotes {_NAMESPACE}><w:footnote><w:p><w:r><w:t>A note</w:t></w:r></w:p></w:footnote></w:footnotes>"


def archive(members: dict[str, str | bytes], **options: int) -> bytes:
    """A zip file with these members."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", **options) as file:
        for name, data in members.items():
            file.writestr(zipfile.ZipInfo(name, (2020, 1, 2, 3, 4, 6)), data)
    return written.getvalue()


DOCX = archive(
    {
        "[Content_Types].xml": "<Types/>",
        "word/document.xml": DOCUMENT,
        "word/media/a.png": b"\0picture",
        "word/footnotes.xml": _NOTES,
    }
)

SAMPLES = {
    "text": [PLAIN],
    "po": [PO, PO.replace(b"\n", b"\r\n")],
    "xliff": [XLIFF1, XLIFF2, XLIFF1.decode().replace("UTF-8", "UTF-16").encode("utf-16")],
    "tmx": [TMX],
    "srt": [SRT, SRT.decode().encode("utf-16")],
    "vtt": [VTT, VTT.replace(b"\n", b"\r\n")],
    "html": [HTML, b"A fragment"],
    "markdown": [MARKDOWN, MARKDOWN.replace(b"\n", b"\r\n")],
    "docx": [DOCX],
}
