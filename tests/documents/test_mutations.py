"""Damaged files of each format: an error in one sentence, or a file that can be read again; never anything else."""

from __future__ import annotations

import io
import random
import re
import zipfile
from collections.abc import Callable, Iterator

import pytest
from fake_translators import backwards, document, translated
from samples import SAMPLES

from s2s_cli.errors import DataError

TRIES = 1000
SNIPPETS = [snippet.encode() for snippet in '< > " & \\ %s ]]> <!-- { * ` [ | --> msgid <g> </g> 0 \ufeff'.split()]
SNIPPETS += [b"\n", b"\n\n", b"\r", b" ", b"\0", b"\xff", b'msgstr ""\n']

ELEMENT = re.compile(rb"<(?:[^<>/!?]+/>|([^\s<>/]+)[^<>]*>[^<>]*</\1>)")
BLOCK = re.compile(rb"(?:[^\n]+\n)+\n*|[^\n]+")


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The data with some damage."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice([0, 1, 1, 5, 40]))
        other = chance.randrange(len(data) + 1)
        put = chance.choice([b"", chance.choice(SNIPPETS), chance.randbytes(2), data[other : other + 30]])
        data = data[:start] + put + data[end:]
    return data


def rearranged(data: bytes, chance: random.Random) -> bytes:
    """The data with some elements, or lines, left out, repeated or moved: often a sound file, but no usual one."""
    for _ in range(chance.randint(1, 5)):
        elements = [match.group() for match in ELEMENT.finditer(data)]
        pieces = elements if data.startswith(b"<") else BLOCK.findall(data)
        pieces = pieces or [data]
        one, other = chance.choice(pieces), chance.choice(pieces)
        data = data.replace(one, chance.choice([b"", one + other, other, one + one]), 1)
    return data


def mutations(form: str, count: int) -> Iterator[bytes]:
    chance = random.Random(form)
    for number in range(count):
        data = SAMPLES[form][number % len(SAMPLES[form])]
        change = rearranged if number % 3 else mutated
        if form == "docx" and number % 4:
            yield with_changed_member(data, chance, change)
        else:
            yield change(data, chance)


def with_changed_member(data: bytes, chance: random.Random, change: Callable[[bytes, random.Random], bytes]) -> bytes:
    """A sound archive with a changed document in it."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(written, "w") as copied:
        for info in archive.infolist():
            content = archive.read(info)
            copied.writestr(info, change(content, chance) if info.filename.endswith("document.xml") else content)
    return written.getvalue()


def holds_up(form: str, data: bytes) -> bool:
    """Whether the file is sound; if so, what comes out is, too."""
    try:
        before = document(form, data)
    except DataError as error:
        assert error.where and "\n" not in str(error)
        return False
    assert before.write([None] * len(before.units)) == data
    written = translated(form, data, backwards)
    after = document(form, written)
    assert len(after.units) == (len(before.units) if not before.bilingual else 0) or form in ("html", "markdown", "po")
    return True


@pytest.mark.parametrize("form", SAMPLES)
def test_some_damaged_files(form: str):
    assert {holds_up(form, data) for data in mutations(form, 30)} <= {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("form", SAMPLES)
def test_a_thousand_damaged_files(form: str):
    sound = sum(holds_up(form, data) for data in mutations(form, TRIES))
    assert 0 < sound <= TRIES
