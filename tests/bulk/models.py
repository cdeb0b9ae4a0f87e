"""A model that swaps the case of letters, and tasks that are done with it."""

from __future__ import annotations

import sys
from pathlib import Path

from s2s_cli.bulk.unit import Task
from s2s_cli.inference.output import OutputOptions
from s2s_cli.inference.translator import Translator
from s2s_cli.search.options import SamplingOptions, SearchOptions

sys.path.append(str(Path(__file__).parents[1] / "inference"))
from copy_model import copy_translator

FORMS = {
    "text": OutputOptions(),
    "json": OutputOptions(format="json"),
    "n-best": OutputOptions(n_best=2),
}


def translator() -> Translator:
    return copy_translator()


def task_of(folder: Path, form: str = "text", *, beam: int = 1, seed: int | None = None) -> Task:
    """A task by a model of which only the manifest exists."""
    model = folder / "model"
    model.mkdir(exist_ok=True)
    if not (model / "manifest.json").exists():
        (model / "manifest.json").write_bytes(b"{}")
    sampling = None if seed is None else SamplingOptions(seed=seed)
    search = SearchOptions(beam=max(beam, FORMS[form].n_best), sampling=sampling)
    return Task((model,), search, FORMS[form]).sealed()
