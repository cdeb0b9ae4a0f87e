"""From a recipe and its prepared data to a trainer and a validator."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from s2s_cli import console
from s2s_cli.cores import usable_cores
from s2s_cli.data.alignment import Aligner
from s2s_cli.data.batches import Pairs
from s2s_cli.data.epochs import ChangedPairs, SampledPairs, Shares
from s2s_cli.data.lexicon import Lexicon
from s2s_cli.data.order import BatchOrder, Part
from s2s_cli.data.prepared import PreparedData
from s2s_cli.errors import UsageError
from s2s_cli.inference.loading import division, finder, search_options
from s2s_cli.inference.translator import Translator
from s2s_cli.model.building import build_model
from s2s_cli.model.precision import choose_device, choose_dtype
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe.schema import Recipe, Training
from s2s_cli.recipe.schema.training import MinimumRisk
from s2s_cli.search.options import SamplingOptions
from s2s_cli.text.segmentation import SEGMENTERS, Segmenter
from s2s_cli.text.sentencepieces import SentencePieceTokenizer
from s2s_cli.text.sentences import joins_without_space
from s2s_cli.text.similarity import build_utility
from s2s_cli.text.tokenizer import Tokenizer
from s2s_cli.training.adamw import AdamW
from s2s_cli.training.averaging import MovingAverage
from s2s_cli.training.decoding import build_step_model
from s2s_cli.training.initial import begin_with
from s2s_cli.training.minimum_risk import Writer
from s2s_cli.training.objective import OBJECTIVES, Objective
from s2s_cli.training.process_group import ALONE, ProcessGroup, own_device
from s2s_cli.training.random_streams import part_streams
from s2s_cli.training.schedule import Patience, Schedule
from s2s_cli.training.trainer import Trainer
from s2s_cli.training.validation import Validator, dev_batches


def build_trainer(
    recipe: Recipe, prepared: PreparedData, group: ProcessGroup = ALONE, initial: Path | None = None
) -> Trainer:
    """A trainer at update 0; a pure function of the recipe's seed, of the group and of the model in `initial`."""
    settings = recipe.training
    torch.set_num_threads(settings.threads or max(1, usable_cores() // group.local_size))
    torch.manual_seed(recipe.seed)
    device = own_device(choose_device(settings.device, "training.device"), group)
    tokenizers = prepared.tokenizers
    model = build_model(recipe.model, tokenizers.source.size, tokenizers.target.size, settings.kernel).to(device)
    beginning = None if initial is None else begin_with(initial, recipe, model, tokenizers)
    if beginning:
        beginning.origin.require_same(group)
        model.load_state_dict(beginning.weights)
        group.once(partial(console.say, f"{recipe.name}: {beginning.report}"))
    averaging, dtype = settings.averaging, choose_dtype(settings.precision, device)
    part_streams(group)  # after the weights, which are the same in all processes
    return Trainer(
        model,
        build_optimizer(model, settings),
        Schedule(
            settings.learning_rate,
            settings.schedule,
            settings.warmup,
            settings.decay_factor,
            settings.decay_patience,
            expected_updates(recipe, prepared) if settings.schedule == "linear" else 1,
        ),
        Patience(recipe.validation.patience),
        MovingAverage(model, averaging.decay) if averaging.method == "ema" and group.leads else None,
        dtype=dtype,
        objective=build_objective(recipe, tokenizers.target, dtype),
        clip_norm=settings.clip_norm,
        group=group,
        origin=beginning and beginning.origin,
    )


def build_objective(recipe: Recipe, target: Tokenizer, dtype: torch.dtype) -> Objective:
    """The objective of its kind, with the keys of this kind. dtype: of products."""
    settings = recipe.training.objective
    keys = settings.values(without=["kind"])
    if isinstance(settings, MinimumRisk):  # it needs more than its keys: what writes, and what compares
        writer = build_writer(settings, recipe, target, dtype)
        keys = {"writer": writer, **{name: keys[name] for name in ("reference", "sharpness", "mix")}}
    return OBJECTIVES[settings.kind](recipe.training.label_smoothing, **keys)


def build_writer(settings: MinimumRisk, recipe: Recipe, target: Tokenizer, dtype: torch.dtype) -> Writer:
    """What writes candidates: with the lengths and the penalty of the recipe's decoding, but not its beam."""
    sampling = SamplingOptions() if settings.from_ == "sample" else None
    count = settings.candidates
    options = replace(search_options(recipe.decoding), beam=count, n_best=count, sampling=sampling)
    utility = build_utility(settings.metric, recipe.languages.target)
    return Writer(recipe.model, options, dtype, target.decode, utility, tuple(target.unwritten))


def build_optimizer(model: nn.Module, settings: Training) -> AdamW:
    """AdamW whose weight decay applies to matrices, not to biases, norms and other vectors."""
    matrices, vectors = list[nn.Parameter](), list[nn.Parameter]()
    for parameter in model.parameters():
        (matrices if parameter.dim() > 1 else vectors).append(parameter)
    return AdamW([(matrices, settings.weight_decay), (vectors, 0.0)], settings.betas)


def build_order(recipe: Recipe, prepared: PreparedData) -> BatchOrder:
    """The batches of all epochs; a pure function of the recipe's seed and the data."""
    weights = recipe.data.weights
    return BatchOrder(
        prepared.train.source_lengths,
        prepared.train.target_lengths,
        batch_tokens=recipe.training.batch_tokens,
        batch_sentences=recipe.training.batch_sentences,
        parts=[Part(*pair) for pair in zip(prepared.train_sizes, weights, strict=True)] if weights else (),
        seed=recipe.seed,
    )


def build_epochs(recipe: Recipe, prepared: PreparedData) -> Callable[[int], Pairs]:
    """From the number of an epoch to the pairs as it has them; a pure function of the recipe's seed and of the data.

    Raises UsageError for a side that has pieces of another kind: those of the model of `init`.
    """
    train, tokenizers, languages = prepared.train, prepared.tokenizers, recipe.languages

    def segmenter(side: Literal["source", "target"]) -> Segmenter | None:
        alpha: float | None = getattr(recipe.training.subword_sampling, side)
        if alpha is None:
            return None
        tokenizer = getattr(tokenizers, side)
        if not isinstance(tokenizer, SentencePieceTokenizer):
            where = f"training.subword_sampling.{side}"
            raise UsageError(f"the {side} side of this model has no SentencePiece tokenizer", where=where)
        return SEGMENTERS[tokenizer.algorithm](tokenizer, alpha)

    source, target = segmenter("source"), segmenter("target")
    sampled = partial(SampledPairs, train, source, target, recipe.seed)
    protect, terms = recipe.data.protect, recipe.data.terms
    shares = Shares(protect.share if protect else 0.0, terms.share if terms else 0.0)
    if not any(shares):
        return sampled
    spaced = not joins_without_space(languages.source), not joins_without_space(languages.target)
    aligner = Aligner(tokenizers, Lexicon.of(train, tokenizers.target.size), spaced)
    return lambda epoch: ChangedPairs(sampled(epoch), train, aligner, shares, recipe.seed, epoch)


def expected_updates(recipe: Recipe, prepared: PreparedData) -> int:
    """Updates until the limits of the recipe, assuming that all epochs have as many batches as the first."""
    return most_updates(recipe.training, sum(1 for _ in build_order(recipe, prepared).epoch(0)))


def most_updates(settings: Training, batches: int) -> int:
    """Updates until the limits of the settings, if each epoch has so many batches."""
    return min(settings.updates or sys.maxsize, settings.epochs * -(-batches // settings.accumulate))


def build_validator(recipe: Recipe, prepared: PreparedData) -> Validator:
    """The dev set, ready to measure models on."""
    sources, references = prepared.dev_texts()
    most, beam, precision = recipe.validation.max_pairs, recipe.validation.beam, recipe.training.precision
    return Validator(
        data=prepared.dev,
        batches=dev_batches(prepared.dev, recipe.training.batch_tokens),
        sources=sources[:most],
        references=references[:most],
        translator_of=partial(build_translator, recipe, prepared, engine="auto", precision=precision, beam=beam),
        language=recipe.languages.target,
    )


def build_translator(
    recipe: Recipe,
    prepared: PreparedData,
    model: Seq2Seq,
    *,
    engine: str,
    precision: str,
    beam: int | None = None,
    int8_is_harmless: bool = False,
    device: torch.device | None = None,
) -> Translator:
    """A translator by a copy of the model, with the recipe's decoding.

    device: by default that of the model. precision: of PyTorch. The other arguments are those of `build_step_model`.
    """
    device = device or next(model.parameters()).device
    decoder = build_step_model(
        model,
        recipe.model,
        engine,
        device,
        choose_dtype(precision, device),
        int8_is_harmless=int8_is_harmless,
        forbidden=prepared.tokenizers.target.unwritten,
    )
    return Translator(
        decoder,
        prepared.tokenizers,
        options=replace(search_options(recipe.decoding), beam=beam or recipe.decoding.beam),
        division=division(recipe.decoding, recipe.languages, recipe.data.cleaning.max_pieces),
        batch_tokens=recipe.decoding.batch_tokens,
        device=device.type,
        finder=finder(recipe.data.protect),
    )
