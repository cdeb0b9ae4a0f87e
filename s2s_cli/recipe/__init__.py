"""The recipe: what it may say (`schema`), how it is read (`loading`), what changed since last time (`difference`)."""

from __future__ import annotations

from s2s_cli.recipe.difference import recipe_differences
from s2s_cli.recipe.loading import dump_recipe, load_recipe
from s2s_cli.recipe.schema import Recipe

__all__ = ["Recipe", "dump_recipe", "load_recipe", "recipe_differences"]
