"""The model card shows names as text, whatever they hold."""

from __future__ import annotations

from types import SimpleNamespace

from tiny import tiny_trainer

from s2s_cli.evaluation.metrics import score
from s2s_cli.recipe import schema
from s2s_cli.training.exporting import model_card

HOSTILE = "<img src=x onerror=alert(1)> [a](javascript:b) `c` |&lt;"


def test_markup_in_names_is_shown_as_text():
    corpus = schema.TrainCorpus(name=HOSTILE, tsv=f"{HOSTILE}.tsv")
    recipe = schema.Recipe(
        name="card",
        languages=schema.Languages(source=HOSTILE, target="en"),
        data=schema.Data(train=[corpus], dev=[corpus], test=[corpus]),
    )
    sides = SimpleNamespace(size=8)
    prepared = SimpleNamespace(tokenizers=SimpleNamespace(source=sides, target=sides, joint=True), train=[1, 2])
    scores = {HOSTILE: score(["a b c d"], [["a b c d"]], ["bleu"], "en")}
    card = model_card(recipe, prepared, tiny_trainer(), scores)
    text, fence, code = card.partition("```yaml\n")
    shown = r"\<img src=x onerror=alert(1)\> \[a\](javascript:b) \`c\` \|\&lt;"
    assert f"Translates {shown} into en:" in text
    assert f"| {shown} | BLEU | 100.00 |" in text
    assert fence and code.count("```") == 1  # what the recipe holds does not end the block of code
