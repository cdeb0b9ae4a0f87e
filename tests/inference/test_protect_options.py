"""What --protect and --protect-pattern say."""

from __future__ import annotations

import pytest

from s2s_cli.errors import UsageError
from s2s_cli.inference.aids import protection_of
from s2s_cli.inference.protection import Protection
from s2s_cli.text.protected import Finder

OWN = Protection(Finder(("urls",), ("X+",)))


def test_by_default_the_model_decides():
    assert protection_of(None, [], None) is None
    assert protection_of(None, [], OWN) is OWN


def test_kinds_replace_those_of_the_model_and_patterns_are_added():
    assert protection_of("tags,numbers", [], OWN) == Protection(Finder(("tags", "numbers")))
    assert protection_of(None, ["a+"], OWN) == Protection(Finder(("urls",), ("a+", "X+")))
    assert protection_of(None, ["a+"], None) == Protection(Finder((), ("a+",)))
    assert protection_of("none", [], OWN) is None
    assert protection_of("none", ["a+"], OWN) == Protection(Finder((), ("a+",)))


@pytest.mark.parametrize(
    ("kinds", "patterns", "where"),
    [
        ("none", [], "--protect"),
        ("tags,words", [], "--protect"),
        (None, ["("], "--protect-pattern"),
        (None, [""], "--protect-pattern"),
    ],
)
def test_what_cannot_be_protected_is_refused(kinds: str | None, patterns: list[str], where: str):
    with pytest.raises(UsageError) as error:
        protection_of(kinds, patterns, None)
    assert error.value.where == where
