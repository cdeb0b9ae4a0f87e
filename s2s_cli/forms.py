"""Forms: classes with typed values, which are checked against the annotations when they come from outside.

The recipe and every JSON document of a sealed directory consist of forms. Reading finds all faults at once, each with
the path of its key. Nothing is converted, except that a whole number may stand for a float and a list for a tuple.
pydantic does the same, but takes 0.17 s to be imported and to build the classes of a recipe, as long as all the rest of
the translation of a sentence; msgspec is as fast as this, but ends at the first fault.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import get_annotations
from itertools import islice
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    NamedTuple,
    Self,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

from s2s_cli.errors import printable

KeyPath = tuple[str | int, ...]
"""The path to a value: `("data", "test", 0, "name")`."""

Rule = Callable[[Any], str]
"""What is wrong with a value of the right type, or "". In an annotation: `Annotated[int, at_least(1)]`."""

_WANTED = {
    bool: "true or false",
    dict: "a section with keys",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "text",
    tuple: "a list",
    NoneType: "null",
}


class Fault(NamedTuple):
    """What is wrong with one value.

    kind: `missing`, `unknown` (a key), `choice`, `type`, or `rule`. of: the words to choose from, or the form that does
    not know a key, or the type that was wanted.
    """

    path: KeyPath
    kind: str
    what: str
    given: Any = None
    of: Any = None

    def __str__(self) -> str:
        key = printable(".".join(map(str, self.path)), 100)
        return f"{key}: {self.what}" if key else self.what


class FormError(ValueError):
    """All faults of a form."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = faults
        super().__init__("; ".join(map(str, faults)))


@dataclass_transform(eq_default=True, kw_only_default=True, frozen_default=True)
class Form:
    """Values by name, with defaults, which never change.

    Annotations may be bool, int, float, str, None, Any, Literal, Annotated with rules, list, tuple, dict, other forms,
    and unions of these. Of several forms in a union, the one is read whose `kind` has the given word, or the first one
    where no kind is given. A key that is a word of Python has an underscore after it in the class: `from_`.
    """

    others: ClassVar[Any] = None
    """The type of the values of further keys, which the form does not name; None: there must be none."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of older versions, and what they are called now."""
    _fields: ClassVar[dict[str, Any]]
    _requires_any: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        cls._requires_any = cls._requires_any or not all(hasattr(cls, name) for name in get_annotations(cls))

    def __init__(self, **values: Any) -> None:
        """Raises FormError."""
        faults: list[Fault] = []
        if values or type(self)._requires_any:  # types are looked up when a value is checked: it takes long
            given = {_key(name): value for name, value in values.items()}
            self.__dict__.update(_values(type(self), given, (), faults))
        if not faults:
            _check(self, (), faults)
        if faults:
            raise FormError(faults)

    @classmethod
    def read(cls, values: Any) -> Self:
        """The form of nested plain values. Raises FormError."""
        faults: list[Fault] = []
        form = checked(values, cls, (), faults)
        if faults:
            raise FormError(faults)
        return form

    def check(self) -> None:
        """Raise ValueError if the values, which are of the right types, do not go together."""

    def values(self, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """All values by key, nested and plain, as JSON has them."""
        names = [*fields(type(self)), *(name for name in vars(self) if name not in fields(type(self)))]
        return {_key(name): _plain(getattr(self, name), Form.values) for name in names if name not in without}

    def given(self) -> dict[str, Any]:
        """The values that are not there by default alone."""
        return {_key(name): _plain(value, Form.given) for name, value in vars(self).items()}

    def replaced(self, **changes: Any) -> Self:
        """The same with other values. Raises FormError."""
        return type(self)(**{**vars(self), **changes})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.values() == other.values()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} never changes")


def fields(form: type[Form]) -> dict[str, Any]:
    """The type of each value by its name."""
    if "_fields" not in vars(form):
        hints = get_type_hints(form, include_extras=True)
        form._fields = {name: hint for name, hint in hints.items() if get_origin(hint) is not ClassVar}
    return form._fields


def keys(form: type[Form]) -> dict[str, Any]:
    """The type of each value by its key."""
    return {_key(name): hint for name, hint in fields(form).items()}


def _key(name: str) -> str:
    return name.removesuffix("_")


# ------------------------------------------------------------------------------------------------------------ reading


def checked(value: Any, hint: Any, path: KeyPath, faults: list[Fault]) -> Any:
    """The value as its type wants it. What is wrong with it is added to `faults`; then the result means nothing."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        before = len(faults)
        value = checked(value, arguments[0], path, faults)
        whats = [] if len(faults) > before else filter(None, (rule(value) for rule in arguments[1:]))
        faults += [Fault(path, "rule", what, value) for what in islice(whats, 1)]
        return value
    if origin in (Union, UnionType):
        return _member(value, arguments, path, faults)
    if origin is Literal:
        return _word(value, arguments, path, faults)
    if origin in (list, tuple):
        return _items(value, origin, arguments, path, faults)
    if origin is dict:
        return _mapping(value, arguments, path, faults)
    if isinstance(hint, type) and issubclass(hint, Form):
        return _form(value, hint, path, faults)
    return value if hint is Any else _scalar(value, hint, path, faults)


def _scalar(value: Any, kind: type, path: KeyPath, faults: list[Fault]) -> Any:
    if kind is float and type(value) is int and abs(value) < 2**1023:
        return float(value)
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if fits and (kind is not str or is_unicode(value)):
        return value
    if fits:
        return faults.append(Fault(path, "type", f"a lone surrogate is no text: {shown(value)}", value, kind))
    return _mistyped(value, kind, path, faults)


def is_unicode(text: str) -> bool:
    """Whether there is no lone surrogate, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _mistyped(value: Any, kind: type, path: KeyPath, faults: list[Fault]) -> None:
    faults.append(Fault(path, "type", f"give {_WANTED[kind]}, not {shown(value)}", value, kind))


def _word(value: Any, words: Sequence[Any], path: KeyPath, faults: list[Fault]) -> Any:
    if any(value == word and type(value) is type(word) for word in words):
        return value
    what = f"must be {'one of ' * (len(words) > 1)}{', '.join(map(str, words))}, not {shown(value)}"
    faults.append(Fault(path, "choice", what, value, words))
    return None


def _items(value: Any, kind: type, hints: Sequence[Any], path: KeyPath, faults: list[Fault]) -> Any:
    if not isinstance(value, (list, tuple)):
        return _mistyped(value, kind, path, faults)
    if kind is list:
        hints = [*hints] * len(value)
    elif len(value) > len(hints):
        faults.append(Fault(path, "rule", f"takes no more than {len(hints)} items", value))
    faults += [Fault((*path, place), "missing", "this value is missing") for place in range(len(value), len(hints))]
    items = zip(value, hints, strict=False)
    return kind(checked(item, hint, (*path, place), faults) for place, (item, hint) in enumerate(items))


def _mapping(value: Any, hints: Sequence[Any], path: KeyPath, faults: list[Fault]) -> Any:
    if not isinstance(value, dict):
        return _mistyped(value, dict, path, faults)
    of_key, of_value = hints
    for key in value:
        checked(key, of_key, (*path, key), faults)
    return {key: checked(inner, of_value, (*path, key), faults) for key, inner in value.items()}


def _member(value: Any, hints: Sequence[Any], path: KeyPath, faults: list[Fault]) -> Any:
    """A value of one of several types. If it is of none, all of them tell why, or those that it is like."""
    if value is None and NoneType in hints:
        return None
    members = [hint for hint in hints if hint is not NoneType]
    if all(isinstance(member, type) and issubclass(member, Form) for member in members):
        return _of_kind(value, members, path, faults)
    attempts: list[list[Fault]] = []
    for member in members:
        attempts.append([])
        found = checked(value, member, path, attempts[-1])
        if not attempts[-1]:
            return found
    alike = [attempt for attempt in attempts if (attempt[0].path, attempt[0].kind) != (path, "type")]
    faults += [fault for attempt in alike or attempts for fault in attempt]
    return None


def _of_kind(value: Any, forms: Sequence[type[Form]], path: KeyPath, faults: list[Fault]) -> Any:
    if len(forms) == 1 or not isinstance(value, dict):
        return _form(value, forms[0] if type(value) not in forms else type(value), path, faults)
    kinds = {word: form for form in forms for word in get_args(fields(form)["kind"])}
    before = len(faults)
    kind = _word(value.get("kind", next(iter(kinds))), tuple(kinds), (*path, "kind"), faults)
    return None if len(faults) > before else _form(value, kinds[kind], path, faults)


def _form(value: Any, form: type[Form], path: KeyPath, faults: list[Fault]) -> Any:
    if isinstance(value, form):
        return value
    if not isinstance(value, dict):
        return _mistyped(value, dict, path, faults)
    before, made = len(faults), object.__new__(form)
    made.__dict__.update(_values(form, value, path, faults))
    if len(faults) == before:
        _check(made, path, faults)
    return made


def _values(form: type[Form], values: Mapping[Any, Any], path: KeyPath, faults: list[Fault]) -> dict[str, Any]:
    """The values by name."""
    found, names = {}, {_key(name): name for name in fields(form)}
    for key, value in values.items():
        key = form.renamed.get(key, key)
        if name := names.get(key):
            found[name] = checked(value, fields(form)[name], (*path, key), faults)
        elif form.others is not None and not hasattr(form, str(key)):  # which it would hide
            found[key] = checked(value, form.others, (*path, key), faults)
        else:
            faults.append(Fault((*path, key), "unknown", "unknown key", value, form))
    for key, name in names.items():
        if name not in found and not hasattr(form, name):
            faults.append(Fault((*path, key), "missing", "this key is missing"))
    return found


def _check(form: Form, path: KeyPath, faults: list[Fault]) -> None:
    try:
        form.check()
    except ValueError as error:
        faults.append(Fault(path, "rule", str(error)))


def _plain(value: Any, of_form: Callable[[Form], dict[str, Any]]) -> Any:
    if isinstance(value, Form):
        return of_form(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item, of_form) for item in value]
    return {key: _plain(inner, of_form) for key, inner in value.items()} if isinstance(value, dict) else value


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All that is no mapping itself in nested mappings, with its dotted key."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def shown(value: Any) -> str:
    """A value, shortened for a message."""
    text = f"the text {value!r}" if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
    return printable(text, 60)


# -------------------------------------------------------------------------------------------------------------- rules


def at_least(least: float) -> Rule:
    return lambda number: "" if number >= least else f"must be at least {least:g}"  # NaN never is


def at_most(most: float) -> Rule:
    return lambda number: "" if number <= most else f"must be at most {most:g}"


def above(bound: float) -> Rule:
    return lambda number: "" if number > bound else f"must be greater than {bound:g}"


def below(bound: float) -> Rule:
    return lambda number: "" if number < bound else f"must be less than {bound:g}"


def one_or_more(items: Sequence[Any]) -> str:
    return "" if items else "needs 1 item or more"


def characters(most: int) -> Rule:
    """Text of at most so many characters."""
    return lambda text: "" if len(text) <= most else f"must have at most {most} characters"


def matching(pattern: str, told: str) -> Rule:
    """Text that matches as a whole; told: what it takes."""
    return lambda text: "" if re.fullmatch(pattern, text) else told
