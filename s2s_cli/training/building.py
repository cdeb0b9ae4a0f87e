"""From a recipe and its prepared data to a trainer and a validator."""

from __future__ import annotations

from dataclasses import replace

import torch

from s2s_cli.data.preparation import PreparedData
from s2s_cli.data.workers import usable_cores
from s2s_cli.inference.loading import search_options
from s2s_cli.inference.translator import Translator
from s2s_cli.model.building import build_model
from s2s_cli.model.precision import choose_device, choose_dtype
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe.schema import Recipe
from s2s_cli.training.averaging import MovingAverage
from s2s_cli.training.patience import Patience
from s2s_cli.training.schedule import Schedule
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validation import Validator, dev_batches


def build_trainer(recipe: Recipe, prepared: PreparedData) -> Trainer:
    """A trainer at update 0; a pure function of the recipe's seed."""
    settings = recipe.training
    torch.set_num_threads(settings.threads or usable_cores())
    torch.manual_seed(recipe.seed)
    device = choose_device(settings.device, "training.device")
    tokenizers = prepared.tokenizers
    model = build_model(recipe.model, tokenizers.source.size, tokenizers.target.size, settings.kernel).to(device)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=settings.betas,
        weight_decay=settings.weight_decay,
        fused=True,
    )
    averaging = settings.averaging
    return Trainer(
        model,
        optimizer,
        Schedule(
            settings.learning_rate,
            settings.schedule,
            settings.warmup,
            settings.decay_factor,
            settings.decay_patience,
        ),
        Patience(recipe.validation.patience),
        MovingAverage(model, averaging.decay) if averaging.method == "ema" else None,
        dtype=choose_dtype(settings.precision, device),
        smoothing=settings.label_smoothing,
        clip_norm=settings.clip_norm,
    )


def build_validator(recipe: Recipe, prepared: PreparedData, model: Seq2Seq) -> Validator:
    """The dev set, ready to be measured."""
    sources, references = prepared.dev_texts()
    most = recipe.validation.max_pairs
    translator = Translator(
        model,
        prepared.tokenizers,
        options=replace(search_options(recipe.decoding), beam=recipe.validation.beam),
        max_pieces=recipe.data.cleaning.max_pieces,
        batch_tokens=recipe.decoding.batch_tokens,
        device=next(model.parameters()).device,
    )
    return Validator(
        data=prepared.dev,
        batches=dev_batches(prepared.dev, recipe.training.batch_tokens),
        sources=sources[:most],
        references=references[:most],
        translator=translator,
        language=recipe.languages.target,
    )
