"""The measurement of glossaries: which terms it takes from references, and which of them a model seldom writes."""

from __future__ import annotations

from s2s_cli.text.glossary import Glossary, Row
from scripts.bench_glossary import nouns, seldom

TRAIN = (
    ["Ein Hund bellt.", "Der Hund und eine Katze.", "Eine Katze schläft.", "Der Hund schläft.", "Ein Mann bellt."],
    ["A dog barks.", "The dog and a cat.", "A cat sleeps.", "The dog sleeps.", "A man barks."],
)


def test_terms_are_nouns_within_lines_with_the_words_of_the_references() -> None:
    sources = ["Eine Katze und ein Hund.", "Hund und Katze.", "Der Hund.", "ein Hund.", "Der Mann schläft."]
    references = ["A cat and a dog.", "Dog and cat.", "The dog.", "A hound.", "Somebody sleeps."]
    assert nouns(TRAIN, sources, references) == [("Katze", "cat"), ("Hund", "dog")]


def test_terms_that_are_written_half_of_the_times_are_not_seldom() -> None:
    glossary = Glossary([Row("Hund", "dog"), Row("Katze", "cat"), Row("Maus", "mouse")])
    sources, texts = ["Hund", "Hund", "Katze", "Katze Katze"], ["dog", "hound", "tom", "cat and tom"]
    assert list(seldom(glossary, sources, texts)) == [Row("Katze", "cat")]
