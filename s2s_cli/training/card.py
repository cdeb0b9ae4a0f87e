"""The model card: the README.md of an exported model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from s2s_cli.data.preparation import PreparedData
from s2s_cli.evaluation.metrics import Score
from s2s_cli.recipe.loading import dump_recipe
from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.trainer import Trainer

IN_A_CELL = str.maketrans({"|": r"\|"})
"""Even in code, a bar would begin the next cell of a table."""

AS_TEXT = str.maketrans({sign: f"\\{sign}" for sign in "\\`*<>&[]|!"})
"""Names are shown as they are: neither as Markdown nor as HTML."""


def model_card(recipe: Recipe, prepared: PreparedData, trainer: Trainer, scores: Mapping[str, Sequence[Score]]) -> str:
    """Languages, data, sizes, scores with their signatures, and the recipe, in Markdown."""
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
