"""Small JSON files with a fixed form: read with bounds, every fault told in one sentence."""

from __future__ import annotations

import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from s2s_cli.errors import CheckpointError

_LARGEST = 16 * 2**20  # bytes

Form = TypeVar("Form", bound="Document")


class Document(BaseModel):
    """A JSON object with known keys only."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def to_json(document: Document) -> bytes:
    """The document as UTF-8 JSON, ready to be written. Floats keep every bit; infinities and NaN are allowed."""
    data = (json.dumps(document.model_dump(), ensure_ascii=False, indent=2) + "\n").encode()
    if len(data) > _LARGEST:
        raise ValueError(f"{type(document).__name__} takes {len(data):,} bytes and could not be read again")
    return data


def parse_json(data: bytes, form: type[Form], where: object) -> Form:
    """Read a document; a number is never taken from a text. Raises `CheckpointError` with `where` and the fault."""
    if len(data) > _LARGEST:
        raise CheckpointError(f"has {len(data):,} bytes, the most is {_LARGEST:,}", where=where)
    try:
        return form.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise CheckpointError(describe_fault(error), where=where) from error


def describe_fault(error: ValidationError) -> str:
    """The first fault of a document on one line, and how many there are besides."""
    first, *others = error.errors(include_url=False, include_input=False, include_context=False)
    key = ".".join(str(part) for part in first["loc"])[:100]
    more = f" (and {len(others)} more)" if others else ""
    printable = "".join(c if c.isprintable() else "?" for c in f"{key}: {first['msg']}"[:300])
    return printable.removeprefix(": ") + more
