"""Bytes to text and back: declared encodings, byte-order marks, and the certainty of getting the same bytes."""

from __future__ import annotations

import codecs

from s2s_cli.errors import DataError, printable

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before that of UTF-16, which is its beginning
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Encodings of documents. Python knows others, some of which take quadratic time or are not encodings of text.
_FAMILIES = tuple(
    "utf8 utf16 utf32 usascii ascii iso8859 latin windows cp koi8 mac tis620 big5 gb euc shiftjis sjis johab hz".split()
)


def decoded(data: bytes, declared: str | None, name: str) -> tuple[str, str]:
    """The text with its byte-order mark, and the encoding in which the text gives the same bytes.

    declared: by the file itself, in signs of one byte; None stands for UTF-8. Raises DataError if the bytes are not in
    that encoding.
    """
    marked = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), None)
    encoding = marked or _known(declared or "utf-8", name)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"byte 0x{data[error.start]:02x} is not {encoding.upper()}",
            where=f"{name}:{line}",
            hint="convert the file to UTF-8 with `iconv`",
        ) from None
    if text.encode(encoding, "replace") != data:
        hint = "convert the file to UTF-8 with `iconv`"
        raise DataError(f"its {encoding.upper()} is not written as it would be here", where=name, hint=hint)
    return text, encoding


def _known(declared: str, name: str) -> str:
    plain = declared.lower().replace("-", "").replace("_", "")
    try:
        if not plain.startswith(_FAMILIES):
            raise LookupError
        encoding = codecs.lookup(declared).name
        "".encode(encoding)
    except (LookupError, ValueError):
        hint = "convert the file to UTF-8 with `iconv`"
        raise DataError(f"unknown encoding `{printable(declared, 40)}`", where=name, hint=hint) from None
    # Signs of one byte cannot be read in UTF-16: some programs declare it of what they then write as UTF-8.
    return "utf-8" if encoding.startswith(("utf-16", "utf-32")) else encoding
