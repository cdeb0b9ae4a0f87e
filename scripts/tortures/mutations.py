"""Ways to spoil bytes, blindly or with the words of the formats, and files of other kinds than one expects."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable
from pathlib import Path

NUMBERS = """0 -1 1 2 3 7 64 65536 65537 2147483647 2147483648 4294967296 9223372036854775807 9223372036854775808
99999999999999999999 1e9 1e308 1e309 1e-320 -0.0 0.5 0.999 1.0 NaN .nan .inf Infinity 00 0x10 1_000 1e400""".split()
TOKENS = [
    *"{ } [ ] , : ? - | > # % @ ` ' \" & * ! ~ .. ... --- null true no yes".split(),
    *["!!python/object/apply:os.system [id]", "&a ", "*a", "<<: *a", "%YAML 1.1\n", "\\u0000", "\\ud800", '\\"', "\t"],
    *["\ufeff", "\0", "\r", "\r\n", "\n", "\x1b[2J", "\u2028", "\x85", "../../etc/passwd", "/etc/passwd", "x" * 5000],
    *["a: b\n", '"a": 1,', "  ", "\\", "$HOME", "%s", "{0}", "日本語", "e\u0301"],
]
NESTS = ["[", "{", '{"a":', "{a: ", "- ", "a:\n "]
NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE]-?\d+)?")


def spoiled(data: bytes, chance: random.Random) -> bytes:
    """The data after one to three mutations; never what it was."""
    result = data
    while result == data:
        for _ in range(chance.choice([1, 1, 1, 2, 3])):
            result = chance.choices(list(MUTATIONS), list(MUTATIONS.values()))[0](result, chance)
    return result


def _place(data: bytes, chance: random.Random) -> int:
    """Somewhere, mostly near the beginning, where formats have their headers."""
    return int(len(data) * chance.random() ** chance.choice([1, 1, 4]))


def _slice(data: bytes, chance: random.Random) -> tuple[int, int]:
    begin = _place(data, chance)
    return begin, min(len(data), begin + int(chance.expovariate(1 / 12)) + 1)


def _flip(data: bytes, chance: random.Random) -> bytes:
    if not data:
        return b"\0"
    changed = bytearray(data)
    changed[_place(data, chance)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _delete(data: bytes, chance: random.Random) -> bytes:
    begin, end = _slice(data, chance)
    return data[:begin] + data[end:]


def _duplicate(data: bytes, chance: random.Random) -> bytes:
    begin, end = _slice(data, chance)
    return data[:end] + data[begin:end] * chance.choice([1, 1, 2, 1000]) + data[end:]


def _duplicate_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    lines.insert(chance.randrange(len(lines) + 1), chance.choice(lines))
    return b"\n".join(lines)


def _delete_line(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    del lines[chance.randrange(len(lines))]
    return b"\n".join(lines)


def _insert_token(data: bytes, chance: random.Random) -> bytes:
    place = _place(data, chance)
    return data[:place] + chance.choice(TOKENS).encode("utf-8", "surrogatepass") + data[place:]


def _replace_number(data: bytes, chance: random.Random) -> bytes:
    """Another number in the place of one: also a type, a size or an offset."""
    found = list(NUMBER.finditer(data[:20_000]))
    if not found:
        return _flip(data, chance)
    begin, end = chance.choice(found).span()
    return data[:begin] + chance.choice(NUMBERS).encode() + data[end:]


def _swap_values(data: bytes, chance: random.Random) -> bytes:
    """Two words in one another's place."""
    words = list(re.finditer(rb"[\w.-]+", data[:20_000]))
    if len(words) < 2:
        return _flip(data, chance)
    first, second = sorted(chance.sample(words, 2), key=lambda word: word.start())
    middle = data[first.end() : second.start()]
    return data[: first.start()] + second[0] + middle + first[0] + data[second.end() :]


def _overwrite(data: bytes, chance: random.Random) -> bytes:
    begin, end = _slice(data, chance)
    return data[:begin] + chance.randbytes(end - begin) + data[end:]


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: _place(data, chance)]


def _extend(data: bytes, chance: random.Random) -> bytes:
    return data + chance.choice([b"\0", b"\n", b"{}", data, chance.randbytes(100)])


def _nest(data: bytes, chance: random.Random) -> bytes:
    place, nest = _place(data, chance), chance.choice(NESTS).encode()
    return data[:place] + nest * chance.choice([25, 1_000, 50_000]) + data[place:]


MUTATIONS: dict[Callable[[bytes, random.Random], bytes], int] = {
    _flip: 4,
    _delete: 3,
    _duplicate: 2,
    _duplicate_line: 2,
    _delete_line: 2,
    _insert_token: 4,
    _replace_number: 4,
    _swap_values: 3,
    _overwrite: 2,
    _cut: 1,
    _extend: 1,
    _nest: 1,
}


# -------------------------------------------------------------------------------------------------- other kinds of file


def become_odd(path: Path, chance: random.Random) -> None:
    """Put something else in the place of a file."""
    path.unlink()
    chance.choice(ODD_KINDS)(path)


def _be_missing(path: Path) -> None:
    """It is already."""


def _be_directory(path: Path) -> None:
    path.mkdir()


def _be_pipe(path: Path) -> None:
    os.mkfifo(path)


def _be_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _be_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _be_circle(path: Path) -> None:
    path.symlink_to(path.name)


def _be_sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 27)


def _be_unlisted(path: Path) -> None:
    path.with_name(path.name + ".bak").write_bytes(b"")


ODD_KINDS = [_be_missing, _be_directory, _be_pipe, _be_link, _be_endless, _be_circle, _be_sparse, _be_unlisted]
