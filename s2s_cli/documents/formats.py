"""The formats of documents, by name. What reads one is imported when it is first needed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from s2s_cli.compression import content_suffix
from s2s_cli.errors import DataError, faults_of_reading

if TYPE_CHECKING:
    from s2s_cli.documents.document import Document
    from s2s_cli.text.languages import Languages


class Format(NamedTuple):
    """A format: the suffixes of its files, and what reads them, called as a `Document` is made."""

    suffixes: tuple[str, ...]
    module: str
    reader: str


FORMATS = {
    "text": Format((".txt",), "plain", "PlainText"),
    "po": Format((".po", ".pot"), "po", "Po"),
    "xliff": Format((".xlf", ".xliff"), "xliff", "read_xliff"),
    "tmx": Format((".tmx",), "tmx", "Tmx"),
    "srt": Format((".srt",), "subtitles", "SubRip"),
    "vtt": Format((".vtt",), "subtitles", "WebVTT"),
    "html": Format((".html", ".htm", ".xhtml"), "html", "Html"),
    "markdown": Format((".md", ".markdown"), "markdown", "Markdown"),
    "docx": Format((".docx",), "docx", "Docx"),
}


def format_of(path: str | Path) -> str | None:
    """The format that a file has by its suffix, before that of its compression; None for lines of text, whatever they
    are."""
    suffix = content_suffix(path).lower()
    return next((name for name, form in FORMATS.items() if suffix in form.suffixes), None)


def read_document(form: str, source: IO[bytes], languages: Languages) -> Document:
    """The document that a file holds. Raises DataError if it is not sound."""
    from s2s_cli.documents.document import MOST_BYTES

    name = source.name if isinstance(getattr(source, "name", None), str) else "<stdin>"
    with faults_of_reading(name):
        data = source.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        hint = "write its lines to stdout, or into a folder (-o DIR/)" if form == "text" else "divide it"
        raise DataError(f"a document has at most {MOST_BYTES >> 20} MiB", where=name, hint=hint)
    module = import_module(f"s2s_cli.documents.{FORMATS[form].module}")
    document: Document = getattr(module, FORMATS[form].reader)(data, name, languages)
    return document
