from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from s2s_cli.errors import DataError, UsageError
from s2s_cli.evaluation.metrics import score
from s2s_cli.evaluation.model import evaluate_model
from s2s_cli.inference.translation import Scored
from s2s_cli.search.options import SearchOptions
from s2s_cli.text.glossary import Glossary, Row


@dataclass
class Upper:
    text: str


class Shouting:
    """Translates into capitals, and counts how often it is asked."""

    calls = 0

    def translate(self, lines, options=None):
        self.calls += 1
        self.options = options
        return [Upper(line.upper()) for line in lines]

    def score(self, sources, targets):
        """A token a word and one for the end, each with p = 1/2 or, in the last line, 1/8; blank sources have none."""
        tokens = [len(target.split()) + 1 if source else 0 for source, target in zip(sources, targets, strict=True)]
        halves = [count * (3 if target == targets[-1] else 1) for count, target in zip(tokens, targets, strict=True)]
        return [Scored(-n * math.log(2) if c else None, c) for n, c in zip(halves, tokens, strict=True)]


SOURCES, REFERENCES = ["one two three four", "five six seven"], ["ONE TWO THREE FOUR FIVE", "FIVE SIX SEVEN"]


def test_translations_are_scored():
    translator, options = Shouting(), SearchOptions(beam=2)
    found = evaluate_model(translator, SOURCES, [REFERENCES], ["bleu", "chrf"], "en", options)
    assert found == score([line.upper() for line in SOURCES], [REFERENCES], ["bleu", "chrf"], "en")
    assert translator.options is options


@pytest.mark.parametrize(
    ("references", "metrics", "error"), [([REFERENCES[:1]], ["bleu"], DataError), ([REFERENCES], ["blue"], UsageError)]
)
def test_faults_are_told_before_translating(references, metrics, error):
    translator = Shouting()
    with pytest.raises(error):
        evaluate_model(translator, SOURCES, references, metrics, "en")
    assert translator.calls == 0


def test_perplexity_is_that_of_a_token_of_the_references():
    translator = Shouting()
    (found,) = evaluate_model(translator, SOURCES, [REFERENCES], ["perplexity"], "en")
    assert found.value == pytest.approx(2 ** ((6 * 1 + 4 * 3) / 10))
    assert (found.name, found.details, found.signature.split("|")[:3]) == (
        "perplexity",
        "tokens = 10",
        ["nrefs:1", "unit:piece", "eos:yes"],
    )
    assert translator.calls == 0  # nothing is translated for it
    names = ["chrf", "perplexity", "bleu"]
    assert [each.name for each in evaluate_model(translator, SOURCES, [REFERENCES], names, "en")] == [
        "chrF2",
        "perplexity",
        "BLEU",
    ]


def test_blank_sources_have_no_perplexity():
    (found,) = evaluate_model(Shouting(), ["", *SOURCES], [["x", *REFERENCES]], ["perplexity"], "en")
    assert found.details == "tokens = 10"
    with pytest.raises(DataError, match="all sources are blank"):
        evaluate_model(Shouting(), [""], [["x"]], ["perplexity"], "en")


def test_terms_are_scored_beside_the_metrics_and_told_before_translating():
    translator = Shouting()
    glossary = Glossary([Row("two", "TWO"), Row("six", "SECHS")])
    found = evaluate_model(translator, SOURCES, [REFERENCES], ["perplexity"], "en", None, glossary)
    assert [(each.name, each.value) for each in found[1:]] == [("term success", 50.0)]
    with pytest.raises(DataError, match="no term"):
        evaluate_model(translator, SOURCES, [REFERENCES], ["bleu"], "en", None, Glossary([Row("nine", "NINE")]))
    assert translator.calls == 1
