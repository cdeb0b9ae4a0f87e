"""What changed in a recipe since the last start."""

from __future__ import annotations

from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.changes import recipe_differences

CORPUS = {"source": "a", "target": "b"}
MINIMAL = {"name": "m", "languages": {"source": "de", "target": "en"}, "data": {"train": [CORPUS], "dev": [CORPUS]}}


def test_differences_name_each_changed_key():
    old = Recipe.read(MINIMAL)
    changes = {
        "training": {"learning_rate": 3e-4},
        "data": MINIMAL["data"] | {"test": [{"tsv": "t", "name": "no"}]},
        "validation": {"every": None},
    }
    assert recipe_differences(old, old) == []
    told = recipe_differences(old, Recipe.read(MINIMAL | changes))
    assert "training.learning_rate: 0.001 -> 0.0003" in told
    assert "validation.every: 500 -> null" in told
    assert "data.test.0.name: (absent) -> no" in told
    assert not any("epochs" in line for line in told)
