"""`s2s train`: prepare what is missing, resume or begin, train, export, score."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from s2s_cli import atomic, console
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.data.corpora import as_kept
from s2s_cli.data.preparation import Written, prepare, prepare_apart
from s2s_cli.data.prepared import PreparedData, open_prepared
from s2s_cli.model.precision import choose_device
from s2s_cli.recipe.loading import dump_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.changes import tell_changes
from s2s_cli.training.exporting import export, exported_weights, is_exported
from s2s_cli.training.initial import settle
from s2s_cli.training.process_group import ALONE, ProcessGroup
from s2s_cli.training.session import Session

TRIAL = ".dry-run"
"""The folder in a run where a dry run prepares data of samples."""

WriteCorpora = Callable[[Recipe, Path, Path], Written]
"""From a recipe, its folder and the directory of its run to the corpora that models write, all written."""


def nothing_written(recipe: Recipe, recipe_dir: Path, run: Path) -> Written:
    """For recipes without such corpora."""
    return {}


def train(
    recipe: Recipe,
    recipe_dir: Path,
    run: RunDirectory,
    group: ProcessGroup = ALONE,
    write_corpora: WriteCorpora = nothing_written,
) -> None:
    """Train from the newest checkpoint, or from the start, to the end.

    recipe_dir: the folder that relative paths of the recipe start from. group: the processes that all call this; only
    the first one writes files and messages. Raises `Stopped` after SIGINT or SIGTERM, when everything is saved, and the
    errors of its parts.
    """
    with run.lock() if group.leads else nullcontext():
        if group.leads:
            shutil.rmtree(run.root / TRIAL, ignore_errors=True)  # of a dry run that was killed
        settled, initial = settle(recipe, recipe_dir, run)
        kept = as_kept(settled, recipe_dir, run.root)
        choose_device(settled.training.device, where="training.device")  # before hours of preparing

        def prepared() -> PreparedData:
            tell_changes(settled, run)
            written = write_corpora(settled, recipe_dir, run.root)
            return prepare_for(group, settled, recipe_dir, run.root, initial, written)

        session = Session(settled, run, group.once(prepared) or open_prepared(run.root), group, initial)
        session.resume()
        group.once(lambda: atomic.replace_file(run.recipe, dump_recipe(kept).encode()))
        is_trained = session.train()
        group.once(lambda: _export(session, run, anew=is_trained))


def prepare_for(
    group: ProcessGroup, recipe: Recipe, recipe_dir: Path, run: Path, initial: Path | None, written: Written
) -> PreparedData:
    """Prepare the data in `run` if necessary."""
    return (prepare if group is ALONE else prepare_apart)(recipe, recipe_dir, run, initial, written=written)


def _export(session: Session, run: RunDirectory, *, anew: bool) -> None:
    """Write the model, unless it is there already and need not be written `anew`."""
    recipe, prepared, log = session.recipe, session.prepared, session.log
    if not anew:
        console.say(f"{recipe.name}: training is finished, {session.standing()}")
    weights = exported_weights(recipe, session.manager)
    if not anew and is_exported(recipe, run, prepared, weights, log):
        console.say(f"the model is in {run.model}")
    else:
        run.require_lock()
        export(recipe, run, prepared, session.trainer, weights, log)
