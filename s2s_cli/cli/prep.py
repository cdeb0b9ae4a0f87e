"""`s2s prep`: clean, tokenise and store the data of a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from s2s_cli.cli.options import Overrides, RecipePath, RunPath, load, run_of

if TYPE_CHECKING:
    from s2s_cli.processes import Mapper


def prep(
    recipe: RecipePath,
    overrides: Overrides = None,
    run: RunPath = None,
    force: Annotated[bool, typer.Option("--force", help="Prepare anew even if nothing has changed.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Clean and encode on a Ray cluster: `local`, `auto`, or an address. Needs s2s-cli[ray].",
        ),
    ] = None,
) -> None:
    """Clean, tokenise and store the data of a recipe.

    Corpora that a model is to write are written too. `s2s train` does all this by itself; use this command to look at
    the data first. Run again, it does nothing unless a file or a key that it depends on has changed, and says which.

    \b
    s2s prep recipes/quickstart.yaml
    s2s prep recipes/quickstart.yaml --set tokenizer.vocabulary=8000
    s2s prep recipes/quickstart.yaml --json | jq .
    """
    from s2s_cli.checkpoint.run_directory import RunDirectory
    from s2s_cli.data.preparation import prepare
    from s2s_cli.sealed import to_json
    from s2s_cli.synthesis.corpora import written_corpora
    from s2s_cli.training.changes import require_allowed

    values = load(recipe, overrides)
    directory = RunDirectory(run_of(recipe, values, overrides, run))
    with directory.lock():
        initial = None
        if values.init:
            from s2s_cli.training.initial import settle

            values, initial = settle(values, recipe.parent, directory)
        require_allowed(values, directory)
        written = written_corpora(values, recipe.parent, directory.root)
        prepared = prepare(
            values, recipe.parent, directory.root, initial, force=force, written=written, mapper=_mapper(ray)
        )
    if as_json:
        print(to_json(prepared.manifest).decode(), end="")


def _mapper(address: str | None) -> Mapper:
    """Who cleans and encodes: the processes of this machine, or a cluster."""
    if address is None:
        from s2s_cli.processes import map_in_order

        return map_in_order
    from functools import partial

    from s2s_cli.bulk import cluster

    return partial(cluster.map_in_order, address)
