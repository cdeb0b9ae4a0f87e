"""The end of training: choose the weights, write the model directory, score the test sets."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from s2s_cli import __version__, console
from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.checkpoint.model_directory import ModelConfig, load_model_files, save_model
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.data.preparation import PreparedData
from s2s_cli.errors import UserError
from s2s_cli.evaluation.metrics import Score, score
from s2s_cli.inference.loading import search_options
from s2s_cli.inference.translator import Translator
from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.averaging import mean_weights
from s2s_cli.training.card import model_card
from s2s_cli.training.metrics_log import MetricsLog
from s2s_cli.training.trainer import Trainer


def export(
    recipe: Recipe,
    run: RunDirectory,
    prepared: PreparedData,
    trainer: Trainer,
    manager: CheckpointManager,
    log: MetricsLog,
) -> None:
    """Write `model/` and print its scores on the test sets."""
    weights, config = exported_weights(recipe, manager), model_config(recipe, prepared)
    trainer.model.load_state_dict(weights)
    scores = score_tests(recipe, prepared, trainer)
    log.forget_after(trainer.position.update, "validation")
    for name, results in scores.items():
        log.write("test", trainer.position.update, name=name, scores={s.signature: round(s.value, 2) for s in results})
        console.say(f"{name}: " + ", ".join(f"{result.name} {result.value:.2f}" for result in results))
    save_model(run.model, weights, config, prepared.tokenizers, model_card(recipe, prepared, trainer, scores))
    console.say(f"the model is in {run.model}; try: echo '...' | s2s translate --model {run.root}")


def is_exported(recipe: Recipe, run: RunDirectory, prepared: PreparedData, manager: CheckpointManager) -> bool:
    """Whether `model/` already holds what `export` would write, undamaged."""
    try:
        files = load_model_files(run.model)
    except UserError:
        return False
    weights, config = exported_weights(recipe, manager), ModelConfig.model_validate(model_config(recipe, prepared))
    return (
        files.config == config
        and files.weights.keys() == weights.keys()
        and all(torch.equal(files.weights[name], weights[name]) for name in weights)
    )


def exported_weights(recipe: Recipe, manager: CheckpointManager) -> dict[str, Tensor]:
    """By `training.averaging`: the best checkpoint, a moving average at its best, or the mean of several."""
    averaging = recipe.training.averaging
    if averaging.method == "last":
        return mean_weights(manager.weights(step) for step in sorted(manager.scores())[-averaging.count :])
    if averaging.method == "best":
        return mean_weights(manager.weights(step) for step in manager.best_steps(averaging.count))
    best = manager.best_step
    assert best is not None, "training ends with a validation"
    snapshot = manager.load(best)
    return snapshot.extra.get("average", snapshot.weights) if averaging.method == "ema" else snapshot.weights


def score_tests(recipe: Recipe, prepared: PreparedData, trainer: Trainer) -> dict[str, list[Score]]:
    """BLEU and chrF of the trainer's model on each test set, with the recipe's decoding."""
    translator = Translator(
        trainer.model.eval(),
        prepared.tokenizers,
        options=search_options(recipe.decoding),
        max_pieces=recipe.data.cleaning.max_pieces,
        batch_tokens=recipe.decoding.batch_tokens,
        device=trainer.device,
    )
    scores = {}
    for name in prepared.test_names:
        sources, references = prepared.test_texts(name)
        hypotheses = [translation.text for translation in translator.translate(sources)]
        scores[name] = score(hypotheses, [references], ["bleu", "chrf"], recipe.languages.target)
    return scores


def model_config(recipe: Recipe, prepared: PreparedData) -> dict[str, Any]:
    """`config.json` of the model directory."""
    return {
        "format": 1,
        "s2s_version": __version__,
        "name": recipe.name,
        "languages": recipe.languages.model_dump(),
        "model": recipe.model.model_dump(),
        "source_vocabulary": prepared.tokenizers.source.size,
        "target_vocabulary": prepared.tokenizers.target.size,
        "decoding": recipe.decoding.model_dump(),
        "max_pieces": recipe.data.cleaning.max_pieces,
    }
