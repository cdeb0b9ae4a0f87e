"""What --glossary and the options beside it say."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from s2s_cli.errors import UsageError
from s2s_cli.inference.aids import use_glossary
from s2s_cli.inference.protection import Protection
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.glossary import Glossary
from s2s_cli.text.protected import Finder

OWN = Protection(Finder(("urls",), ("X+",)))
BEAM = SearchOptions(beam=5)


def fake(*, terms: bool, protection: Protection | None = None) -> Translator:
    found: list[Glossary] = []
    tokenizers = SimpleNamespace(source=SimpleNamespace(term_tags=(4, 5, 6) if terms else None))
    fields = {"tokenizers": tokenizers, "protection": protection, "forced": found, "force_terms": found.append}
    return cast("Translator", SimpleNamespace(**fields))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "terms.tsv").write_text("Haus\thouse\n")
    return tmp_path / "terms.tsv"


def targets(glossary: Glossary | None, text: str) -> list[str]:
    assert glossary is not None
    return [each.term.targets[0] for each in glossary.find(text)]


@pytest.mark.parametrize("protection", [OWN, None])
def test_models_that_have_learnt_terms_are_told_them(path: Path, protection: Protection | None):
    for way in (None, "inline"):
        translator = fake(terms=True, protection=protection)
        use_glossary(path, "any-case", way, translator, SearchOptions(beam=1))
        assert translator.protection is not None
        assert translator.protection.finder == (protection.finder if protection else Finder((), ()))
        assert targets(translator.protection.glossary, "das HAUS") == ["house"]
        assert not vars(translator)["forced"]


@pytest.mark.parametrize("terms", [False, True])
def test_with_others_terms_are_forced_and_so_they_are_by_choice(path: Path, terms: bool):
    translator = fake(terms=terms, protection=OWN)
    use_glossary(path, "inflected", "forced" if terms else None, translator, BEAM)
    [glossary] = vars(translator)["forced"]
    assert targets(glossary, "die Hauses") == ["house"]
    assert translator.protection is OWN


@pytest.mark.parametrize(
    ("match", "way", "search", "what"),
    [
        ("loosely", None, BEAM, "no way to match"),
        (None, "loosely", BEAM, "no way to use"),
        (None, "inline", BEAM, "not been trained with terms"),
        (None, None, SearchOptions(beam=1), "beam of 2"),
        (None, "forced", SearchOptions(beam=4, groups=2), "--diverse"),
    ],
)
def test_what_cannot_be_done_is_refused(
    path: Path, match: str | None, way: str | None, search: SearchOptions, what: str
):
    with pytest.raises(UsageError, match=what):
        use_glossary(path, match, way, fake(terms=False), search)
