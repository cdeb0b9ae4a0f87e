"""YAML text to plain values, each with its line; and plain values to YAML text.

Scalars are read as YAML 1.2 reads them: `no`, `yes` and `on` are text, `1e-3` is a number. Features that only an attack
would need are refused: tags, anchors and aliases, deep nesting, very large files.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import yaml

from s2s_cli.errors import UserError, printable
from s2s_cli.forms import KeyPath

MOST_VALUES = 10_000
MOST_LEVELS = 20

_CONSTANTS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")
}
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


class YamlReader:
    """Builds plain values from the events of PyYAML's parser.

    After `read`, `lines` holds the line of each value (of its key, inside a mapping) in the order of the text, and
    `duplicates` the faults after which reading can continue. Other faults are raised as `UserError` at once.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[KeyPath, int] = {}
        self.duplicates: list[UserError] = []

    def read(self, text: str) -> Any:
        """The one document in `text`; None if there is none."""
        events = (e for e in yaml.parse(text, yaml.SafeLoader) if not isinstance(e, yaml.events.StreamEndEvent))
        try:
            next(events)  # the start of the stream
            if next(events, None) is None:
                return None
            value = self._value(next(events), events, ())
            next(events)  # the end of the document
            if (extra := next(events, None)) is not None:
                raise self._fault("a second document begins here", extra.start_mark.line, "one recipe a file")
        except yaml.MarkedYAMLError as error:
            raise self._syntax_fault(error) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position)
            raise self._fault(f"character U+{error.character:04X} is not allowed", line) from None
        except (ValueError, OverflowError):  # PyYAML passes an escape such as "\\UFFFFFFFF" to `chr`
            last = max(self.lines.values(), default=1) - 1
            raise self._fault("not valid YAML: an escape stands for no character", last) from None
        return value

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], path: KeyPath) -> Any:
        line = event.start_mark.line
        self._refuse_marks(event)
        if len(path) > MOST_LEVELS:
            raise self._fault(f"more than {MOST_LEVELS} levels of nesting", line)
        self.lines.setdefault(path, line + 1)
        if len(self.lines) > MOST_VALUES:
            raise self._fault(f"more than {MOST_VALUES} values", line)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path)
        return self._scalar(event)

    def _sequence(self, events: Iterator[yaml.Event], path: KeyPath) -> list[Any]:
        values: list[Any] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            values.append(self._value(event, events, (*path, len(values))))
        return values

    def _mapping(self, events: Iterator[yaml.Event], path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line = event.start_mark.line
            self._refuse_marks(event)
            if not isinstance(event, yaml.ScalarEvent):
                raise self._fault("a key must be one word", line)
            key = event.value
            if key in values:
                first = self.lines[(*path, key)]
                self.duplicates.append(self._fault(f"the key `{key}` is repeated here, after line {first}", line))
            self.lines.setdefault((*path, key), line + 1)
            value = self._value(next(events), events, (*path, key))
            values.setdefault(key, value)
        return values

    def _scalar(self, event: yaml.ScalarEvent) -> str | int | float | bool | None:
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in event.value):
            raise self._fault("control characters are not allowed in a value", event.start_mark.line)
        return plain_scalar(event.value) if event.style is None else event.value

    def _refuse_marks(self, event: yaml.Event) -> None:
        """Refuse tags, anchors and aliases of values and keys."""
        line = event.start_mark.line
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._fault("anchors and aliases (`&`, `*`) are not allowed", line, "write the value out")
        if event.tag is not None:
            raise self._fault(f"the tag `{event.tag}` is not allowed", line, "put text into quotes")

    def _fault(self, what: str, line: int, hint: str | None = None) -> UserError:
        return UserError(printable(what), where=f"{self.name}:{line + 1}", hint=hint)

    def _syntax_fault(self, error: yaml.MarkedYAMLError) -> UserError:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        return self._fault(f"not valid YAML: {what}", mark.line if mark else 0)


def plain_scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted word. Whole numbers are `int` in any notation: `1e6`, `3.0`."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if not _NUMBER.fullmatch(text) or not math.isfinite(number := float(text)):
        return text
    return int(number) if number.is_integer() and abs(number) <= 2**53 else number


class _Dumper(yaml.SafeDumper):
    """Puts text into quotes wherever `YamlReader` would read it as something else."""


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(f"^({_NUMBER.pattern})$"), list("+-.0123456789"))


def to_yaml(value: Any) -> str:
    """YAML text that `YamlReader` reads as the same value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
