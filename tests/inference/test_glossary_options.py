"""What --glossary and the options beside it say."""

from __future__ import annotations

from pathlib import Path

import pytest
from copy_model import TOKENIZERS, CopyModel

from s2s_cli.errors import DataError, UsageError
from s2s_cli.inference.aids import with_glossary
from s2s_cli.inference.dividing import Division, Part
from s2s_cli.inference.reading import Reader
from s2s_cli.inference.searching import Job, Searcher
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SearchOptions
from s2s_cli.serving.explaining import explained
from s2s_cli.text.glossary import Glossary
from s2s_cli.text.protected import Finder
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TERM_TAGS, TokenizerPair

OWN = Finder(("urls",), ("X+",))
BEAM = SearchOptions(beam=5)


def reader(*, terms: bool, finder: Finder | None = None) -> Reader:
    tags = TERM_TAGS if terms else ()
    return Reader(
        TokenizerPair(CharacterTokenizer([*tags, *"Haus"], tags), CharacterTokenizer("▁ehosu")), Division(), finder
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "terms.tsv").write_text("Haus\thouse\n")
    return tmp_path / "terms.tsv"


def targets(glossary: Glossary | None, text: str) -> list[str]:
    assert glossary is not None
    return [each.term.targets[0] for each in glossary.find(text)]


@pytest.mark.parametrize("finder", [OWN, None])
def test_models_that_have_learnt_terms_are_told_them(path: Path, finder: Finder | None):
    for way in (None, "inline"):
        found = with_glossary(reader(terms=True, finder=finder), path, "any-case", way, SearchOptions(beam=1))
        assert targets(found.inline, "das HAUS") == ["house"]
        assert (found.finder, found.forced) == (finder, None)


def test_what_they_leave_out_is_forced_where_the_search_can(path: Path):
    for way in (None, "both"):
        found = with_glossary(reader(terms=True), path, None, way, BEAM)
        assert found.inline is found.forced is not None
        [part] = found.read(["Haus"])[0].parts
        assert part.told and part.demand is None and part.phrases == ("house",)


def test_only_what_is_found_inflected_may_come_in_another_form(path: Path):
    found = with_glossary(reader(terms=True), path, "any-case,inflected", None, BEAM)
    told = [source.parts[0] for source in found.read(["Haus", "HAUS", "Hauses", "HAUSES", "Hauses Haus"])]
    assert all(part.told for part in told)
    assert [part.phrases for part in told] == [("house",), ("house",), (), (), ("house",)]


def test_terms_that_cannot_be_forced_are_only_told_unless_that_was_asked_for(
    path: Path, capsys: pytest.CaptureFixture[str]
):
    path.write_text("Haus\thouse\naus\tчас\n")
    found = with_glossary(reader(terms=True), path, None, None, BEAM)
    assert found.forced is None and targets(found.inline, "Haus") == ["house"]
    assert "terms.tsv:2: the model cannot write" in capsys.readouterr().err
    with pytest.raises(DataError, match="cannot write"):
        with_glossary(reader(terms=True), path, None, "both", BEAM)


def test_a_shortlist_admits_what_the_model_is_told(path: Path):
    given = with_glossary(reader(terms=True), path, None, "inline", SearchOptions(beam=1))
    parts = [source.parts[0] for source in given.read(["aus", "Haus"])]
    model = Heard(vocabulary=99)
    Searcher(model, given.tokenizers.target, "").search(Job(parts, SearchOptions(beam=1, max_length_offset=1), None))
    assert [set(given.tokenizers.target.pieces(sorted(each))) for each in model.heard] == [set(), {*"house"}]


def test_so_it_does_where_a_translation_is_explained():
    model, part = Heard(), Part("ab", TOKENIZERS.source.encode(["ab"])[0], told=(7, 8))
    explained(Translator(model, TOKENIZERS), part, BEAM)
    assert [set(each) for each in model.heard] == [{7, 8}]


class Heard(CopyModel):
    """Keeps what it is to admit."""

    def start(self, source_BS, source_lengths_B, admitted=()):
        self.heard = admitted
        return super().start(source_BS, source_lengths_B, admitted)


@pytest.mark.parametrize("terms", [False, True])
def test_with_others_terms_are_forced_and_so_they_are_by_choice(path: Path, terms: bool):
    given = reader(terms=terms, finder=OWN)
    found = with_glossary(given, path, "inflected", "forced" if terms else None, BEAM)
    assert targets(found.forced, "die Hauses") == ["house"]
    assert (found.finder, found.inline) == (OWN, None)


@pytest.mark.parametrize(
    ("match", "way", "search", "what"),
    [
        ("loosely", None, BEAM, "no way to match"),
        (None, "loosely", BEAM, "no way to use"),
        (None, "inline", BEAM, "not been trained with terms"),
        (None, "both", BEAM, "not been trained with terms"),
        (None, None, SearchOptions(beam=1), "beam of 2"),
        (None, "forced", SearchOptions(beam=4, groups=2), "--diverse"),
    ],
)
def test_what_cannot_be_done_is_refused(
    path: Path, match: str | None, way: str | None, search: SearchOptions, what: str
):
    with pytest.raises(UsageError, match=what):
        with_glossary(reader(terms=False), path, match, way, search)
