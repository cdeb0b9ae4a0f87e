from __future__ import annotations

from dataclasses import dataclass

import pytest

from s2s_cli.errors import DataError, UsageError
from s2s_cli.evaluation.metrics import score
from s2s_cli.evaluation.model import evaluate_model
from s2s_cli.search.options import SearchOptions


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
