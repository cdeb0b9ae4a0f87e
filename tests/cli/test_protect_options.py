"""What --protect, --protect-pattern and --glossary say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from s2s_cli.cli.protection import protection_of, with_glossary
from s2s_cli.errors import UsageError
from s2s_cli.inference.protection import Protection
from s2s_cli.inference.translator import Translator
from s2s_cli.text.protected import Finder

OWN = Protection(Finder(("urls",), ("X+",)))


def fake(*, terms: bool, protection: Protection | None = None) -> Translator:
    source = SimpleNamespace(term_tags=(4, 5, 6) if terms else None)
    return cast("Translator", SimpleNamespace(tokenizers=SimpleNamespace(source=source), protection=protection))


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
    [("none", [], "--protect"), ("tags,words", [], "--protect"), (None, ["("], "--protect-pattern")],
)
def test_what_cannot_be_protected_is_refused(kinds: str | None, patterns: list[str], where: str):
    with pytest.raises(UsageError) as error:
        protection_of(kinds, patterns, None)
    assert error.value.where == where


def test_a_glossary_needs_a_model_that_reads_terms(tmp_path: Path):
    path = tmp_path / "terms.tsv"
    path.write_text("Haus\thouse\n")
    found = with_glossary(path, "any-case", fake(terms=True, protection=OWN))
    assert found is not None
    assert found.finder == OWN.finder
    assert found.glossary is not None
    assert [each.term.targets for each in found.glossary.find("das HAUS")] == [("house",)]
    assert with_glossary(None, None, fake(terms=False, protection=OWN)) is OWN
    with pytest.raises(UsageError, match="not been trained with terms"):
        with_glossary(path, None, fake(terms=False))
    with pytest.raises(UsageError, match="no way to match"):
        with_glossary(path, "loosely", fake(terms=True))
