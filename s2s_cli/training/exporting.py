"""The end of training: choose the weights, write the model directory, score the test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from s2s_cli import __version__, console
from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.checkpoint.model_directory import ModelConfig, load_model_files, save_model
from s2s_cli.checkpoint.run_directory import RunDirectory
from s2s_cli.data.lexicon import Lexicon, frequent_targets
from s2s_cli.data.prepared import PreparedData
from s2s_cli.engine import obstacle
from s2s_cli.errors import CheckpointError, UserError
from s2s_cli.evaluation.calibration import calibrate
from s2s_cli.evaluation.metrics import Score, score
from s2s_cli.inference.engines import is_harmless
from s2s_cli.inference.translation import Translation
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe.loading import dump_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.sealed import SealedDirectory
from s2s_cli.training.averaging import mean_weights
from s2s_cli.training.building import build_translator
from s2s_cli.training.decoding import packed
from s2s_cli.training.initial import Origin
from s2s_cli.training.reporting import MetricsLog
from s2s_cli.training.trainer import Trainer

CANDIDATES, FREQUENT = 16, 100
"""Symbols of a shortlist: for each source symbol, and for all. More of them changed no score on Multi30k."""

IN_A_CELL = str.maketrans({"|": r"\|"})
"""Even in code, a bar would start the next cell of a table."""

AS_TEXT = str.maketrans({sign: f"\\{sign}" for sign in "\\`*<>&[]|!"})
"""Names are shown as they are: neither as Markdown nor as HTML."""


def export(
    recipe: Recipe,
    run: RunDirectory,
    prepared: PreparedData,
    trainer: Trainer,
    weights: Mapping[str, Tensor],
    log: MetricsLog,
) -> None:
    """Write `model/` with these weights and print its scores on the test sets."""
    trainer.model.load_state_dict(weights)
    sources, references = (side[: recipe.validation.max_pairs] for side in prepared.dev_texts())
    decoded = decode(recipe, prepared, trainer.model, sources)
    loss = int8_bleu_loss(decoded, references, recipe.languages.target)
    confidence = calibrate(next(iter(decoded.values())), references)
    config = model_config(recipe, prepared)
    config |= {"int8_bleu_loss": loss, "confidence": confidence and confidence.values()}
    scores = score_tests(recipe, prepared, trainer.model, int8_is_harmless=is_harmless(loss))
    for name, results in scores.items():
        console.say(f"{name}: " + ", ".join(f"{result.name} {result.value:.2f}" for result in results))
    card = model_card(recipe, prepared, trainer, scores)
    symbols, packed = shortlist(recipe, prepared), packed_weights(recipe, weights)
    log.forget_after(trainer.position.update, "validation")  # before the model: the log has no scores of another one,
    save_model(run.model, weights, config, prepared.tokenizers, card, symbols, packed)
    for name, results in scores.items():  # and after it: without scores, the export is made again
        values = {result.signature: round(result.value, 2) for result in results}
        log.write("test", trainer.position.update, name=name, scores=values, data=prepared.manifest.test_checksum(name))
    console.say(f"the model is in {run.model}; try: echo '...' | s2s translate --model {run.root}")


def is_exported(
    recipe: Recipe, run: RunDirectory, prepared: PreparedData, weights: Mapping[str, Tensor], log: MetricsLog
) -> bool:
    """Whether `model/` already holds what `export` would write, undamaged, and the log the scores of all test sets."""
    tests = log.tests()
    for name in prepared.test_names:
        if name not in tests or tests[name] not in (None, prepared.manifest.test_checksum(name)):
            return False
    try:
        SealedDirectory.open(run.model).verify_all()
        files = load_model_files(run.model)
    except UserError:
        return False
    config = ModelConfig.read(model_config(recipe, prepared))
    return (
        files.config.replaced(int8_bleu_loss=None, confidence=None) == config
        and files.weights.keys() == weights.keys()
        and all(np.array_equal(files.weights[name], weights[name].numpy(force=True)) for name in weights)
    )


def exported_weights(recipe: Recipe, manager: CheckpointManager) -> dict[str, Tensor]:
    """By `training.averaging`: the weights or the moving average of the best checkpoint, or the mean of several.

    Damaged checkpoints are named and skipped. Raises `CheckpointError` if none is left.
    """
    averaging = recipe.training.averaging
    ranked = manager.ranked()
    if not ranked:  # training ends with a validation
        hint = "restore one from a copy, or train further (training.epochs)"
        raise CheckpointError("no checkpoint with a score can be used", where=manager.directory, hint=hint)
    if averaging.method in ("last", "best"):
        steps = sorted(ranked)[-averaging.count :] if averaging.method == "last" else ranked[: averaging.count]
        console.say(f"the model is the mean of the weights after updates {', '.join(f'{s:,}' for s in sorted(steps))}")
        return mean_weights(map(manager.weights, steps))
    snapshot = manager.load(ranked[0])
    return snapshot.extra.get("average", snapshot.weights) if averaging.method == "ema" else snapshot.weights


def decode(
    recipe: Recipe, prepared: PreparedData, model: Seq2Seq, sources: Sequence[str]
) -> dict[str, list[Translation]]:
    """The translations by each engine that may decode with the exported model: `fast` and `int8`, or else `reference`.

    Those of the engine are made on the CPU, whatever device trained the model: only the CPU has products of 8 bits.
    """
    engines, device = (("fast", "int8"), torch.device("cpu")) if fits(recipe) else (("reference",), None)
    return {
        engine: build_translator(recipe, prepared, model, engine=engine, precision="fp32", device=device).translate(
            sources
        )
        for engine in engines
    }


def int8_bleu_loss(
    decoded: Mapping[str, Sequence[Translation]], references: Sequence[str], language: str
) -> float | None:
    """BLEU lost on dev by 8-bit products, negative for a gain; `None` for a model that does not support them."""
    if "int8" not in decoded:
        return None
    bleu = {
        engine: score([each.text for each in translations], [references], ["bleu"], language)[0].value
        for engine, translations in decoded.items()
    }
    loss = bleu["fast"] - bleu["int8"]
    verdict = "decoding uses them" if is_harmless(loss) else "decoding uses them on demand (--engine int8)"
    console.say(f"products of 8 bits cost {loss:+.2f} BLEU on dev ({bleu['fast']:.2f} without): {verdict}")
    return round(loss, 4)


def fits(recipe: Recipe) -> bool:
    """Whether the engine knows all parts of the model."""
    return obstacle(recipe.model.values()) is None


def shortlist(recipe: Recipe, prepared: PreparedData) -> dict[str, np.ndarray] | None:
    """The arrays of `--shortlist`; `None` for a model that the engine does not fit."""
    if not fits(recipe):
        return None
    tokenizers = prepared.tokenizers
    lexicon = Lexicon.of(prepared.train, tokenizers.target.size)
    candidates = lexicon.best(tokenizers.source.size, CANDIDATES)
    for mark, other in zip(tokenizers.source.marks, tokenizers.target.marks, strict=False):
        candidates[mark, 0] = other  # few of them are in the data itself
    frequent = frequent_targets(prepared.train, tokenizers.target.size, FREQUENT)
    if marks := tokenizers.target.case_marks:  # without them a word that is listed could not be written as it should
        frequent = np.union1d(frequent, marks).astype(frequent.dtype)
    return {"candidates": candidates, "frequent": frequent}


def packed_weights(recipe: Recipe, weights: Mapping[str, Tensor]) -> dict[str, np.ndarray] | None:
    """What the engine reads in 8 bits; `None` for a model that it does not fit."""
    return packed(weights, recipe.model, "int8")[1] if fits(recipe) else None


def score_tests(
    recipe: Recipe, prepared: PreparedData, model: Seq2Seq, *, int8_is_harmless: bool
) -> dict[str, list[Score]]:
    """BLEU and chrF on each test set, decoded as `s2s evaluate` will decode with the exported model."""
    translator = build_translator(
        recipe, prepared, model, engine="auto", precision="fp32", int8_is_harmless=int8_is_harmless
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
        "languages": recipe.languages.values(),
        "model": recipe.model.values(),
        "source_vocabulary": prepared.tokenizers.source.size,
        "target_vocabulary": prepared.tokenizers.target.size,
        "decoding": recipe.decoding.values(),
        "max_pieces": recipe.data.cleaning.max_pieces,
    } | ({"protect": recipe.data.protect.values()} if recipe.data.protect else {})


def model_card(recipe: Recipe, prepared: PreparedData, trainer: Trainer, scores: Mapping[str, Sequence[Score]]) -> str:
    """The README.md of a model, in Markdown: languages, data, sizes, scores with their signatures, the recipe."""
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    tokenizers, position, languages = prepared.tokenizers, trainer.position, recipe.languages
    rows = [
        f"| {name.translate(AS_TEXT)} | {score.name} | {score.value:.2f} | `{score.signature.translate(IN_A_CELL)}` |"
        for name, results in scores.items()
        for score in results
    ]
    return "\n".join(
        [
            f"# {recipe.name}",
            "",
            f"Translates {languages.source.translate(AS_TEXT)} into {languages.target.translate(AS_TEXT)}:"
            " `s2s translate --model <this directory> < input.txt`.",
            "",
            f"- {parameters:,} parameters; {tokenizers.source.size:,} source and"
            f" {tokenizers.target.size:,} target symbols{' (one vocabulary)' if tokenizers.joint else ''}",
            f"- trained on {len(prepared.train):,} sentence pairs, {position.update:,} updates,"
            f" {position.epochs_begun} epochs; best on dev at update {trainer.patience.best_update:,}",
            *([f"- training began with {_origin(trainer.origin)}"] if trainer.origin else []),
            "",
            "| test set | metric | score | signature |",
            "|---|---|---|---|",
            *rows,
            "",
            "## Recipe",
            "",
            "```yaml",
            dump_recipe(recipe.with_folders([])).rstrip(),
            "```",
            "",
        ]
    )


def _origin(origin: Origin) -> str:
    return f"the model {origin.name.translate(AS_TEXT)} (SHA-256 of its weights `{origin.sha256}`)"
