"""The recipe: its keys (`schema`), and how it is read (`loading`)."""

from __future__ import annotations

from s2s_cli.recipe.loading import dump_recipe, load_recipe
from s2s_cli.recipe.schema import Recipe

__all__ = ["Recipe", "dump_recipe", "load_recipe"]
