"""The fields of a request: read within limits from its query and its body, JSON or a form, and asked for by type."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs

from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from s2s_cli.serving.limits import Limits, Refused

MOST_FIELDS = 1000
CHARSETS = ("utf-8", "utf8", "us-ascii", "ascii")
"""What a form may say that it is written in. A name is never looked up: Python would keep each one that it does not
know, and has codecs that take quadratic time."""
DRAINED = 4
"""Bodies up to so many times the limit are read, and forgotten, before they are refused: many clients do not see an
answer that comes while they are still sending."""


class Fields:
    """The fields by name. A field of a form, or of the query, is a list of strings; one of JSON is what it is."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) not in (None, [], "")

    def texts(self, name: str) -> tuple[list[str], bool]:
        """One or several texts, and whether they came as a list. Raises Refused if there are none."""
        value = self._values.get(name)
        if value is None:
            raise Refused(400, f"Invalid request: missing {name} parameter")
        if isinstance(value, _Given) and len(value) == 1:
            return [value[0]], False
        texts = value if isinstance(value, list) else [value]
        if not all(isinstance(text, str) for text in texts):
            raise Refused(400, f"Invalid request: {name} must be a string or a list of strings")
        return texts, isinstance(value, list)

    def word(self, name: str, default: str | None = None) -> str:
        """A string. Raises Refused if there is none and no default."""
        value = self._single(name)
        if value is None:
            if default is None:
                raise Refused(400, f"Invalid request: missing {name} parameter")
            return default
        if not isinstance(value, str):
            raise Refused(400, f"Invalid request: {name} must be a string")
        return value

    def choice(self, name: str, default: str, among: tuple[str, ...]) -> str:
        """One of several strings."""
        value = self.word(name, default)
        if value not in among:
            raise Refused(400, f"Invalid request: {name} must be one of {', '.join(among)}")
        return value

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 0 on."""
        value = self._single(name)
        if value is None:
            return default
        is_whole = isinstance(value, float) and value.is_integer()  # 7.0 is one in JSON
        if is_whole or (isinstance(value, str) and value.isdecimal() and len(value) < 10):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise Refused(400, f"Invalid request: {name} must be a number from 0 to {most}")
        return value

    def flag(self, name: str) -> bool:
        """A truth value: true, false, or 1 and 0 as forms write them."""
        value = self._single(name)
        known = {None: False, True: True, False: False, "1": True, "0": False, "true": True, "false": False}
        if not isinstance(value, str | bool | None) or value not in known:
            raise Refused(400, f"Invalid request: {name} must be true or false")
        return known[value]

    def names(self, name: str) -> frozenset[str]:
        """A list of names, or names with commas between them."""
        value = self._values.get(name)
        values = value if isinstance(value, list) else [] if value is None else [value]
        if not all(isinstance(each, str) for each in values):
            raise Refused(400, f"Invalid request: {name} must be a list of strings")
        return frozenset(part.strip() for each in values for part in each.split(",") if part.strip())

    def _single(self, name: str) -> Any:
        """The value, the last one of several; None where there is none, or an empty one."""
        value = self._values.get(name)
        if isinstance(value, _Given):
            value = value[-1]
        return None if value == "" else value


class _Given(list[str]):
    """What a form or a query has for one name."""


async def read_fields(request: Request, limits: Limits) -> Fields:
    """The fields of a request. Raises Refused (400, 408, 413, 415) and ClientDisconnect."""
    values: dict[str, Any] = _parsed(request.scope["query_string"])
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await _body(request, limits)  # of GET too: DeepL's client sends one
    if kind == "multipart/form-data":
        values |= await _multipart(request, body)
    elif kind == "application/json" or kind.endswith("+json"):
        values |= _json(body)
    else:
        values |= _parsed(body)
    return Fields(values)


async def _body(request: Request, limits: Limits) -> bytes:
    if request.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
        raise Refused(415, "Invalid request: a compressed body")
    declared = request.headers.get("content-length", "0")
    chunks, size = [], int(declared) if declared.isdecimal() and len(declared) < 19 else 0
    try:
        async with asyncio.timeout(limits.read_seconds):
            if size <= DRAINED * limits.body_bytes:
                size = 0
                async for chunk in request.stream():
                    size += len(chunk)
                    if size <= limits.body_bytes:
                        chunks.append(chunk)
                    elif size > DRAINED * limits.body_bytes:
                        break
    except TimeoutError:
        raise Refused(408, "Invalid request: it took too long to come") from None
    if size > limits.body_bytes:
        raise Refused(413, f"Invalid request: the body has more than {limits.body_bytes} bytes")
    return b"".join(chunks)


def _json(body: bytes) -> dict[str, Any]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "Invalid request: the body is not JSON in UTF-8") from None
    if not isinstance(values, dict):
        raise Refused(400, "Invalid request: the body is not a JSON object")
    return values


def _parsed(form: bytes) -> dict[str, Any]:
    try:
        found = parse_qs(form.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except UnicodeDecodeError:
        raise Refused(400, "Invalid request: the form is not UTF-8") from None
    except ValueError:
        raise Refused(400, f"Invalid request: more than {MOST_FIELDS} fields") from None
    return _by_name((name, value) for name, values in found.items() for value in values)


async def _multipart(request: Request, body: bytes) -> dict[str, Any]:
    _, options = parse_options_header(request.headers["content-type"])
    charset = options.get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in CHARSETS:
        raise Refused(400, "Invalid request: the form is not UTF-8")

    async def stream() -> Any:
        yield body

    parser = MultiPartParser(
        request.headers, stream(), max_files=0, max_fields=MOST_FIELDS, max_part_size=len(body) + 1
    )
    try:
        form = await parser.parse()
    except (MultiPartException, HTTPException, KeyError, ValueError, UnicodeError):
        raise Refused(400, "Invalid request: not a form, or one with files") from None
    try:
        body.decode(charset)  # the parser would read ISO 8859-1 where this fails
    except UnicodeDecodeError:
        raise Refused(400, "Invalid request: the form is not UTF-8") from None
    return _by_name((name, str(value)) for name, value in form.multi_items())


def _by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The values of each name, which may be written with brackets or without."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        values.setdefault(name.removesuffix("[]"), _Given()).append(value)
    return values
