"""`s2s train`: train the model of a recipe."""

from __future__ import annotations

from s2s_cli.cli.options import Overrides, RecipePath, RunPath, load, run_of


def train(recipe: RecipePath, overrides: Overrides = None, run: RunPath = None) -> None:
    """Train the model of a recipe, and print its scores.

    Prepares the data where that is missing, validates as it goes, keeps the best state and exports it to DIR/model.
    Interrupt it whenever you like (Ctrl-C): the same command goes on where it was.

    \b
    s2s train recipes/quickstart.yaml
    s2s train my.yaml --set training.learning_rate=3e-4 --set seed=2 --run runs/my-2
    """
    from s2s_cli.checkpoint.run_directory import RunDirectory
    from s2s_cli.training.run import train as train_recipe

    values = load(recipe, overrides)
    train_recipe(values, recipe.parent, RunDirectory(run_of(values, run)))
