"""What --protect and --protect-pattern say."""

from __future__ import annotations

import pytest

from s2s_cli.cli.protection import ProtectionArguments
from s2s_cli.errors import UsageError
from s2s_cli.inference.protection import Protection
from s2s_cli.text.protected import Finder

OWN = Protection(Finder(("urls",), ("X+",)))


def test_by_default_the_model_decides():
    assert ProtectionArguments().applied_to(None) is None
    assert ProtectionArguments().applied_to(OWN) is OWN


def test_kinds_replace_those_of_the_model_and_patterns_are_added():
    assert ProtectionArguments("tags,numbers", []).applied_to(OWN) == Protection(Finder(("tags", "numbers")))
    assert ProtectionArguments(None, ["a+"]).applied_to(OWN) == Protection(Finder(("urls",), ("a+", "X+")))
    assert ProtectionArguments(None, ["a+"]).applied_to(None) == Protection(Finder((), ("a+",)))
    assert ProtectionArguments("none", []).applied_to(OWN) is None
    assert ProtectionArguments("none", ["a+"]).applied_to(OWN) == Protection(Finder((), ("a+",)))


@pytest.mark.parametrize(
    ("kinds", "patterns", "where"),
    [("none", [], "--protect"), ("tags,words", [], "--protect"), (None, ["("], "--protect-pattern")],
)
def test_what_cannot_be_protected_is_refused(kinds: str | None, patterns: list[str], where: str):
    with pytest.raises(UsageError) as error:
        ProtectionArguments(kinds, patterns).applied_to(None)
    assert error.value.where == where
