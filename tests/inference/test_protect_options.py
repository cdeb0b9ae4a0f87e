"""What --protect and --protect-pattern say."""

from __future__ import annotations

import pytest

from s2s_cli.errors import UsageError
from s2s_cli.inference.aids import finder_of
from s2s_cli.text.protected import Finder

OWN = Finder(("urls",), ("X+",))


def test_by_default_the_model_decides():
    assert finder_of(None, [], None) is None
    assert finder_of(None, [], OWN) is OWN


def test_kinds_replace_those_of_the_model_and_patterns_are_added():
    assert finder_of("tags,numbers", [], OWN) == Finder(("tags", "numbers"))
    assert finder_of(None, ["a+"], OWN) == Finder(("urls",), ("a+", "X+"))
    assert finder_of(None, ["a+"], None) == Finder((), ("a+",))
    assert finder_of("none", [], OWN) is finder_of("none", [], None) is None
    assert finder_of("none", ["a+"], OWN) == Finder((), ("a+",))


@pytest.mark.parametrize(
    ("kinds", "patterns", "where"),
    [
        ("tags,words", [], "--protect"),
        (None, ["("], "--protect-pattern"),
        (None, [""], "--protect-pattern"),
    ],
)
def test_what_cannot_be_protected_is_refused(kinds: str | None, patterns: list[str], where: str):
    with pytest.raises(UsageError) as error:
        finder_of(kinds, patterns, None)
    assert error.value.where == where
