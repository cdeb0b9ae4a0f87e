"""Term success and consistency: by hand, and what holds of any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s_cli.errors import DataError
from s2s_cli.evaluation.terminology import terminology
from s2s_cli.text.glossary import Glossary, Row

ROWS = [Row("disk", "Platte"), Row("disk", "Festplatte"), Row("hard disk", "Festplatte"), Row("key", "Taste")]
GLOSSARY = Glossary(ROWS)


def values(sources: list[str], hypotheses: list[str], glossary: Glossary = GLOSSARY) -> dict[str, float]:
    return {score.name: score.value for score in terminology(glossary, sources, hypotheses)}


@pytest.mark.parametrize(
    ("sources", "hypotheses", "success", "consistency"),
    [
        (["a disk"], ["eine Platte"], 100, None),
        (["a disk"], ["Platten"], 0, None),  # whole words
        (["a hard disk"], ["eine Platte"], 0, None),  # the longest term
        (["disk and disk"], ["Platte"], 50, 50),  # once for each occurrence
        (["disk and disk"], ["Platte Platte Platte"], 100, 100),
        (["disk", "disk", "disk"], ["Platte", "Festplatte", "Platte"], 100, 200 / 3),
        (["disk", "disk", "key"], ["Festplatte", "nichts", "Taste"], 200 / 3, 50),
        (["disk", "disk"], ["nichts", "nichts"], 0, 0),
        (["nothing", "key"], ["Taste", "Taste"], 100, None),
    ],
)
def test_by_hand(sources: list[str], hypotheses: list[str], success: float, consistency: float | None):
    expected = {"term success": success} | ({} if consistency is None else {"term consistency": consistency})
    assert values(sources, hypotheses) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("rows", "hypothesis", "success"),
    [
        ([("Hund", "dog"), ("Köter", "dog")], "A dog.", 50),
        ([("Hund", "dog"), ("Köter", "dog")], "A dog and a dog.", 100),
        ([("Hund", "dog"), ("Hund", "hound"), ("Köter", "dog")], "A dog and a hound.", 100),
        ([("Hund", "dog"), ("Hund", "hound"), ("Köter", "dog"), ("Köter", "cur")], "A dog and a cur.", 100),
        ([("Hund", "dog"), ("Hund", "cur"), ("Köter", "cur"), ("Köter", "tyke")], "A dog and a cur.", 100),
        ([("Hund", "dog"), ("Köter", "hot dog")], "A hot dog.", 50),
        ([("Hund", "dog"), ("Köter", "hot dog")], "A hot dog, a dog.", 100),
    ],
)
def test_a_word_is_the_translation_of_one_occurrence(rows: list[tuple[str, str]], hypothesis: str, success: float):
    glossary = Glossary(Row(*row) for row in rows)
    assert values(["Hund und Köter."], [hypothesis], glossary) == {"term success": success}


def test_terms_and_translations_differ_by_choice():
    ignoring = Glossary(ROWS, ["any-case"])
    assert values(["The Disk", "a disk"], ["die PLATTE", "Platte"], ignoring)["term success"] == 100
    assert values(["The Disk", "a disk"], ["die PLATTE", "platte"])["term success"] == 0
    (score, _) = terminology(ignoring, ["Disk disk"], [""])
    assert (
        score.signature.startswith("match:words+any-case|")
        and score.details == "terms = 1 occurrences = 2 translated = 0"
    )
    assert values(["the disks"], ["die Platten"], Glossary(ROWS, ["inflected"]))["term success"] == 100
    own = Glossary([Row("disk", "Platte", ["inflected"]), Row("key", "Taste")])
    assert values(["disks, keys, key"], ["Platten, Tasten"], own)["term success"] == 50


@given(st.lists(st.tuples(*[st.lists(st.sampled_from(["disk", "hard", "key", "Platte", "Taste"])).map(" ".join)] * 2)))
def test_consistency_is_never_above_success_of_repeated_terms(pairs: list[tuple[str, str]]):
    sources, hypotheses = [source for source, _ in pairs], [hypothesis for _, hypothesis in pairs]
    if not any(GLOSSARY.find(source) for source in sources):
        with pytest.raises(DataError, match="no term"):
            values(sources, hypotheses)
        return
    found = values([*sources, *sources], [*hypotheses, *hypotheses])  # so that each term occurs twice
    assert 0 <= found["term consistency"] <= found["term success"] <= 100
    assert values(sources, hypotheses)["term success"] == pytest.approx(found["term success"])


def test_lines_of_unlike_number_are_refused():
    with pytest.raises(DataError, match="1 and 0"):
        terminology(GLOSSARY, ["disk"], [])
