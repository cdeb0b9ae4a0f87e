"""A request: a line to translate, what its translation must and must not contain, and how it begins."""

from __future__ import annotations

import json
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from s2s_cli.errors import DataError, printable
from s2s_cli.forms import Form, FormError
from s2s_cli.text.sentences import sentences


@dataclass(frozen=True)
class Request:
    """A line with demands on its translation. A line without any is the same as its text."""

    text: str
    """The source."""
    constraints: Sequence[str] = ()
    """Phrases that the translation contains, as whole words; one that stands here twice, at least twice."""
    avoid: Sequence[str] = ()
    """Words and phrases that it does not contain as whole words. One in lower case is avoided in any case."""
    prefix: str = ""
    """What the translation begins with. Unless it ends with a space, its last word may go on."""
    others: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else belongs to the line, which `Translation.others` hands back."""

    @property
    def makes_demands(self) -> bool:
        return bool(self.constraints or self.avoid or self.prefix)

    def concerns_whole(self, language: str) -> bool:
        """Whether the translation, in this language, must be made as a whole, for it to be known where something is
        said. A prefix or a phrase to avoid within a sentence is heeded sentence by sentence."""
        begun = f"{self.prefix}A"  # after an end and a space, a sentence is to follow
        return bool(self.constraints) or any(len(sentences(text, language)) > 1 for text in (begun, *self.avoid))

    @classmethod
    def from_json(cls, line: str, taken: Container[str] = ()) -> Request:
        """Of one line of JSON. All fields but those of this class are `others`. taken: names that these cannot have.

        Raises DataError, which says what is wrong with it.
        """
        try:
            values = json_object(line)
        except DataError as error:
            raise DataError(error.what, hint=_HINT) from None
        own = {key: value for key, value in values.items() if key in _FIELDS}
        try:
            record = _Record.read(own)
        except FormError as error:
            raise DataError(str(error), hint=_HINT) from None
        others = {key: value for key, value in values.items() if key not in _FIELDS}
        for key in others:
            if meant := _MEANT.get(key.lower()):  # a demand that nobody would hear of
                hint = f"did you mean `{meant}`? give a field of your own another name"
                raise DataError(f"the field `{key}` is none of a request", hint=hint)
            if key in taken:
                hint = "give it another name, or leave --json out"
                raise DataError(f"the field `{key}` could not be passed through: the output has one", hint=hint)
        return cls(record.text, tuple(record.constraints), tuple(record.avoid), record.prefix, others)


class _Record(Form):
    text: str
    constraints: list[str] = []  # noqa: RUF012  # never changed
    avoid: list[str] = []  # noqa: RUF012
    prefix: str = ""


_MOST_DIGITS = 4000  # Python reads no number of many more
_FIELDS = ("text", "constraints", "avoid", "prefix")
_MEANT = {"constraint": "constraints", "avoids": "avoid"} | {name: name for name in _FIELDS[1:]}
"""What a field is called, by how it is miscalled, in small letters."""
_HINT = 'give an object a line, such as {"text": "...", "constraints": ["..."], "avoid": ["..."], "prefix": "..."}'


def json_object(line: str | bytes) -> dict[str, Any]:
    """The object that a line of JSON is. Raises DataError, also for numbers that JSON could not write again."""
    try:
        values = json.loads(line, parse_constant=_refuse, parse_float=_finite, parse_int=_whole)
    except RecursionError:
        raise DataError("not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        place = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise DataError(f"not JSON{place}: {printable(reason)}") from None
    if not isinstance(values, dict):
        text = line if isinstance(line, str) else line.decode("utf-8", errors="replace")
        raise DataError(f"not a JSON object: {printable(text, 60)}")
    return values


def _finite(number: str) -> float:
    return value if math.isfinite(value := float(number)) else _refuse(number)


def _whole(number: str) -> int:
    if len(number) > _MOST_DIGITS:
        raise ValueError(f"a number of more than {_MOST_DIGITS} digits")
    return int(number)


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")
