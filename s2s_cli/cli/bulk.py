"""`s2s translate --shard`, `--join`, `--ray` and `-o DIR`: files in, files out, each of which is done once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s2s_cli import console
from s2s_cli.cli.effects import refuse_idle
from s2s_cli.cli.files import (
    STDIN,
    document_format,
    has_rows,
    inputs_of,
    is_folder,
    refuse_one_for_two,
    suffix_of_rows,
)
from s2s_cli.cli.options import BulkArguments, MachineArguments, SearchArguments, chosen_models, warn_of_segmenter
from s2s_cli.errors import UsageError

if TYPE_CHECKING:
    from s2s_cli.bulk.unit import Task
    from s2s_cli.inference.aids import Aids
    from s2s_cli.inference.output import OutputOptions


def translate_bulk(
    context: Any,
    model: list[Path] | None,
    search: SearchArguments,
    machine: MachineArguments,
    bulk: BulkArguments,
    written: OutputOptions,
    aids: Aids,
) -> None:
    """Translate the inputs of a command into files, or join the parts of one. Arguments as its groups of options."""
    part, files = bulk.part, _files(context.params)
    if bulk.join:
        from s2s_cli.bulk.joining import join
        from s2s_cli.bulk.unit import sweep

        if len(files) > 1:
            raise UsageError("of several inputs, no file is divided", where="--join", hint="name one INPUT")
        sweep([files[0][1]])
        _tell(files[0][1], join(*files[0]))
        return
    task = _task(context, model, search, machine, written, bulk.column, aids)
    if bulk.ray:
        from s2s_cli.bulk.files import translate_files

        places = [(source.resolve(), target.absolute()) for source, target in files]
        for _ in translate_files(places, task, bulk.ray, machine.workers):
            pass
    else:
        _translate(task, files, part, machine)


def _files(values: dict[str, Any]) -> list[tuple[Path, Path]]:
    """Each input, and the file that its translation goes to."""
    sources, output = inputs_of(values), Path(values["output"] or STDIN)
    option = next((f"--{name}" for name in ("shard", "join", "ray") if values[name]), "-o")
    if not sources or not all(map(os.path.isfile, sources)):
        raise UsageError("this needs files as INPUT", where=option, hint="name them")
    if output == STDIN:
        raise UsageError("this needs a file or a folder to write to", where=option, hint="add -o OUTPUT")
    if form := document_format(values):
        raise UsageError(f"{form} is translated as a whole, not by lines", where=option, hint=f"leave {option} out")
    if has_rows(values) and len(set(map(suffix_of_rows, sources))) > 1:
        raise UsageError("files of rows and of lines need commands of their own", where="INPUT", hint="divide them")
    is_file = len(sources) == 1 and not is_folder(values) and not values["ray"]
    suffix = suffix_of_rows(sources[0])
    if is_file and has_rows(values) and suffix_of_rows(output) != suffix:
        raise UsageError(f"rows of {suffix} stay that", where="-o", hint=f"let its name end in {suffix}")
    targets = [output] if is_file else [output / source.name for source in sources]
    if not has_rows(values) and ".parquet" in {target.suffix for target in targets}:
        raise UsageError("lines do not become .parquet", where="-o", hint="give it another name")
    refuse_one_for_two(targets, where="-o")
    for source, target in zip(sources, targets, strict=True):
        if target.exists() and target.samefile(source):
            raise UsageError(f"{target} is the input", where="-o", hint="write to another folder")
    return list(zip(sources, targets, strict=True))


def _task(
    context: Any,
    model: list[Path] | None,
    search: SearchArguments,
    machine: MachineArguments,
    written: OutputOptions,
    column: str | None,
    aids: Aids,
) -> Task:
    """What is to be done with each file, by the settings of the (first) model. Its weights are not read."""
    from s2s_cli.bulk.unit import Machine, Task
    from s2s_cli.checkpoint.model_directory import load_config
    from s2s_cli.inference.loading import device_of, search_options

    if search.sample and search.seed is None:
        raise UsageError("each part would draw by another seed", where="--sample", hint="add --seed N")
    models = chosen_models(model)
    config = load_config(models[0])
    options = search.applied_to(search_options(config.decoding), written.n_best)
    device = device_of(machine.device)
    refuse_idle(context, device=device, **vars(options))
    warn_of_segmenter(options, config.languages.target)
    decoder = Machine(device, machine.precision, machine.engine, machine.shortlist)
    return Task(tuple(models), options, written, decoder, column, aids).sealed()


def _translate(
    task: Task, files: Sequence[tuple[Path, Path]], part: tuple[int, int] | None, machine: MachineArguments
) -> None:
    """One file after the other, by the processes of this machine."""
    from functools import cache

    from s2s_cli.bulk.cutting import WHOLE, Part
    from s2s_cli.bulk.joining import part_path
    from s2s_cli.bulk.unit import sweep, translate_file
    from s2s_cli.cores import usable_cores

    if part is None or len(files) > 1:
        number, count = part or WHOLE
        units = [(source, target, WHOLE) for source, target in files[number - 1 :: count]]
    else:
        units = [(source, part_path(target, Part(*part)), Part(*part)) for source, target in files]
    sweep(target for _, target, _ in units)
    workers = machine.workers or machine.threads or usable_cores()
    load = cache(lambda: task.load(threads=machine.threads, workers=workers))
    try:
        for source, target, one in units:
            _tell(target, translate_file(source, target, task, load, one))
    finally:
        if load.cache_info().currsize:
            load().close()


def _tell(target: Path, is_new: bool) -> None:
    if not is_new:
        console.say(f"{target} is done already")
