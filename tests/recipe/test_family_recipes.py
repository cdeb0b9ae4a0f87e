"""recipes/family/ has every member of the family, ready to be trained."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from s2s_cli.data.corpora import locate
from s2s_cli.model.building import build_model
from s2s_cli.recipe.loading import load_recipe

FAMILY = Path(__file__).parents[2] / "recipes" / "family"
RECIPES = {path.stem: path for path in sorted(FAMILY.glob("*.yaml"))}
NOT_SHIPPED = {"chinese-english"}
MOST_PARAMETERS = 10_000_000


def overrides(path: Path) -> list[list[str]]:
    """The `--set` arguments of each line of comment that has some."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    found = [
        shlex.split(re.sub(r"[`,.:]*$", "", line[line.index("--set") :].strip("`")))
        for line in lines
        if "--set" in line
    ]
    return [[word for word in words if word != "--set"] for words in found]


def test_every_decoder_has_a_recipe():
    models = [load_recipe(path).model for path in RECIPES.values()]
    decoders = {(model.decoder.context, model.decoder.feed_previous) for model in models}
    contexts = ("initial", "every_step")
    assert decoders == {(c, fed) for c in contexts for fed in (False, True)} | {("attention", True)}
    attentions = [model.attention for model in models if model.decoder.context == "attention"]
    assert {attention.query for attention in attentions} == {"previous", "intermediate", "current"}
    assert any(attention.coverage for attention in attentions)
    assert any(attention.heads > 1 for attention in attentions)
    assert any(model.layer_norm and model.encoder.residual and model.decoder.residual for model in models)
    assert {model.cell for model in models} >= {"gru", "lstm"}


def test_every_score_has_a_recipe_or_an_example():
    examples = [load_recipe(path, words) for path in RECIPES.values() for words in [[], *overrides(path)]]
    scores = {r.model.attention.score for r in examples if r.model.decoder.context == "attention"}
    assert scores == {"additive", "dot", "scaled_dot", "general"}


@pytest.mark.parametrize("name", RECIPES)
def test_it_names_its_command_finds_its_data_and_is_small(name: str):
    recipe = load_recipe(RECIPES[name])
    assert f"s2s train recipes/family/{name}.yaml" in RECIPES[name].read_text(encoding="utf-8")
    if name not in NOT_SHIPPED:
        for corpus in recipe.data.corpora():
            source, target = next(locate(corpus, [FAMILY]).pairs())
            assert source and target
    sides = (recipe.tokenizer.source, recipe.tokenizer.target)
    sizes = [(side and side.vocabulary) or recipe.tokenizer.vocabulary for side in sides]
    model = build_model(recipe.model, *sizes)
    assert sum(parameter.numel() for parameter in model.parameters()) < MOST_PARAMETERS


def test_models_of_one_context_and_of_attention_are_of_like_size():
    sizes = {
        name: sum(p.numel() for p in build_model(load_recipe(RECIPES[name]).model, 4000, 4000).parameters())
        for name in ("04-cho", "05-bahdanau", "06-luong", "07-coverage", "08-multi-head")
    }
    assert max(sizes.values()) < 1.1 * min(sizes.values()), sizes
