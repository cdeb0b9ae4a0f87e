"""`s2s train`: train the model of a recipe."""

from __future__ import annotations

from typing import Annotated

import typer

from s2s_cli.cli.options import Overrides, RecipePath, RunPath, load, run_of


def train(
    recipe: RecipePath,
    overrides: Overrides = None,
    run: RunPath = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Do not train: prepare the data, try some updates and report memory, disk space, time, and whether the"
            " loss falls.",
        ),
    ] = False,
) -> None:
    """Train the model of a recipe, and print its scores.

    Prepares the data if necessary, validates at intervals, keeps the best state and exports it to DIR/model.
    Interrupt it at any time (Ctrl-C): the same command continues from there.

    \b
    s2s train recipes/quickstart.yaml
    s2s train my.yaml --set training.learning_rate=3e-4 --set seed=2 --run runs/my-2
    s2s train my.yaml --dry-run
    torchrun --nproc-per-node 2 -m s2s_cli train my.yaml
    """
    from s2s_cli.checkpoint.run_directory import RunDirectory
    from s2s_cli.synthesis.corpora import tried_corpora, written_corpora
    from s2s_cli.training.dry_run import dry_run as try_recipe
    from s2s_cli.training.process_group import process_group
    from s2s_cli.training.run import train as train_recipe

    with process_group() as group:
        values = load(recipe, overrides)
        directory = RunDirectory(run_of(recipe, values, overrides, run))
        if dry_run:
            group.once(lambda: try_recipe(values, recipe.parent, directory, group, tried_corpora))
        else:
            train_recipe(values, recipe.parent, directory, group, written_corpora)
