"""Emphasis in Markdown: where it is read, and that it is written so that it is read."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from fake_translators import document
from markdown_it import MarkdownIt

from s2s_cli.documents.markdown_marks import marks
from s2s_cli.text.codes import Code, Kind, Part

ELEMENTS = {"*": ["em"], "**": ["strong"], "***": ["em", "strong"]}
SIGNS = ["*", "**", "***", "_", "__", "___"]
WORDS = ["a", "bc", "é", "字", "हि", " ", " ", ".", "(d)", "€", "*", "_", "`", "~"]


def random_parts(chance: random.Random, depth: int = 3, name: str = "pair") -> list[Part]:
    """Words, signs and white space, and pairs of emphasis around such parts, or around nothing."""
    parts: list[Part] = []
    for number in range(chance.randint(0, 4)):
        if depth and chance.random() < 0.5:
            sign, own = chance.choice(SIGNS), f"{name} {number}"
            inner = random_parts(chance, depth - 1, own)
            parts += [Code(sign, Kind.OPEN, own), *inner, Code(sign, Kind.CLOSE, own)]
        else:
            parts.append(chance.choice(WORDS))
    return parts


def emphasised(text: str, depths: Counter[str]) -> Iterator[tuple[str, int, int]]:
    """Each character that is no white space, and in how many elements it is."""
    for character in "".join(text.split()):
        yield character, depths["em"], depths["strong"]


def as_meant(parts: Sequence[Part]) -> Iterator[tuple[str, int, int]]:
    depths: Counter[str] = Counter()
    for part in parts:
        if isinstance(part, str):
            yield from emphasised(part, depths)
            continue
        for element in ELEMENTS[part.text.replace("_", "*")]:
            depths[element] += 1 if part.kind is Kind.OPEN else -1


def as_rendered(text: str) -> Iterator[tuple[str, int, int]]:
    depths: Counter[str] = Counter()
    (block,) = MarkdownIt("commonmark").parseInline(text)
    for token in block.children or []:
        if token.type == "html_inline":
            depths[token.content.strip("</>")] += -1 if token.content.startswith("</") else 1
        elif token.nesting:
            depths[token.tag] += token.nesting
        else:
            yield from emphasised(token.content, depths)


def written(parts: Sequence[Part]) -> str:
    """A translation in these parts, as it is written."""
    return document("markdown", b"word").write([tuple(parts)]).decode()


def test_emphasis_is_rendered_around_what_it_was_put_around():
    chance = random.Random(0)
    for _ in range(2000):
        parts: list[Part] = ["x", *random_parts(chance), "y"]
        text = written(parts)
        assert list(as_rendered(text)) == list(as_meant(parts)), text
        assert "<em></em>" not in text and "<strong></strong>" not in text


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ("a<**></**> b<*> </*>c<**><_> </_></**>", "a b c "),
        ("<**>I</**><**> do</**><*> not </*>now", "**I** **do** *not* now"),
        ("He <**>is</**> <*>out</*><**>.</**>", "He **is** *out*__.__"),
        ("<**>a</**><**>b</**>", "**a**__b__"),
        ("<**><*>a</*> b</**>", "**_a_ b**"),
        ("字<**>字</**>字<__>字</__>字", "字**字**字**字**字"),
        ("<**>a<*>b</*>c</**>", "**a*b*c**"),
        ("<*>a<*>b</*>c</*>", "*a<em>b</em>c*"),
        ("a<***>,</***> <~~>b</~~><~~>c</~~>", "a<em><strong>,</strong></em> ~~b~~<del>c</del>"),
    ],
)
def test_emphasis_has_its_own_signs_where_they_are_read_or_the_other_ones_or_tags(parts: str, expected: str):
    codes = [
        Code(piece.strip("</>"), Kind.CLOSE if piece.startswith("</") else Kind.OPEN, piece.strip("</>"))
        if piece.startswith("<")
        else piece
        for piece in re.split(r"(</?[*_~]+>)", parts)
        if piece
    ]
    assert written(codes) == expected


def test_a_vowel_sign_belongs_to_its_word():
    """In Python's regular expressions it is no part of one."""
    assert [mark.raw for mark in marks("**हिन्दी**में", set()) if isinstance(mark.part, Code)] == ["**", "**"]
