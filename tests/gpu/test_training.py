"""Training on a GPU: the same curve as on a processor, and a model that translates on either."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from s2s_cli import Translator
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.errors import UsageError
from s2s_cli.recipe.loading import load_recipe
from s2s_cli.training.process_group import ProcessGroup, own_device
from s2s_cli.training.run import train
from scripts.tortures.task import log_of, write_task

SETTINGS = ("training.updates=30", "model.dropout={embedding: 0.0, state: 0.0, readout: 0.0}")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same training on either device."""
    folder = tmp_path_factory.mktemp("task")
    recipe = write_task(folder, pairs=94, width=16, kernel="auto")
    for device in ("cpu", "cuda"):
        values = load_recipe(recipe, [*SETTINGS, f"training.device={device}"])
        train(values, folder, RunDirectory(folder / device))
    return {device: folder / device for device in ("cpu", "cuda")}


def test_the_curve_is_that_of_a_processor(runs: dict[str, Path]) -> None:
    losses = {device: [line["loss"] for line in log_of(run) if "loss" in line] for device, run in runs.items()}
    assert losses["cuda"] == pytest.approx(losses["cpu"], rel=1e-3)


@pytest.mark.parametrize("trained_on", ["cpu", "cuda"])
def test_a_model_translates_alike_on_either_device(trained_on: str, runs: dict[str, Path]) -> None:
    lines = ["un deux trois", "", "neuf", "quatre cinq six sept huit"]
    translators = [Translator.load(runs[trained_on], device=device, precision="fp32") for device in ("cpu", "cuda")]
    ours, theirs = ([(line.text, line.score) for line in each.translate(lines)] for each in translators)
    assert [text for text, _ in ours] == [text for text, _ in theirs]
    assert [score or 0.0 for _, score in ours] == pytest.approx([score or 0.0 for _, score in theirs], abs=1e-4)


def test_more_processes_than_gpus_are_refused() -> None:
    group = ProcessGroup()
    group.local_size = torch.cuda.device_count() + 1
    with pytest.raises(UsageError, match="start one process for each GPU"):
        own_device(torch.device("cuda"), group)
