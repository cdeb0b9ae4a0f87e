"""The recipe: everything that one training run depends on, as typed values, with defaults for all but the data.

The docstring under a field is its documentation; `s2s_cli.recipe.loading` fills these classes from YAML.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from s2s_cli.forms import characters, matching
from s2s_cli.recipe.schema.data import (
    Cleaning,
    Corpus,
    Data,
    Languages,
    Lines,
    Protect,
    Role,
    Sample,
    Terms,
    TrainCorpus,
)
from s2s_cli.recipe.schema.model import Attention, Decoder, Dropout, Model, RecurrentEncoder, TransformerEncoder
from s2s_cli.recipe.schema.section import Section, Seed, Side
from s2s_cli.recipe.schema.tokenizer import SideTokenizer, Tokenizer
from s2s_cli.recipe.schema.training import Averaging, Decoding, Init, SubwordSampling, Training, Validation

__all__ = [
    "Attention",
    "Averaging",
    "Cleaning",
    "Corpus",
    "Data",
    "Decoder",
    "Decoding",
    "Dropout",
    "Init",
    "Languages",
    "Lines",
    "Model",
    "Protect",
    "Recipe",
    "RecurrentEncoder",
    "Role",
    "Sample",
    "Section",
    "Side",
    "SideTokenizer",
    "SubwordSampling",
    "Terms",
    "Tokenizer",
    "TrainCorpus",
    "Training",
    "TransformerEncoder",
    "Validation",
]

SIDES: tuple[Side, ...] = ("source", "target")
LEAST_DROPOUT = 0.002
"""Rounded to 256ths, smaller probabilities are 0 (see `s2s_cli.model.dropout`)."""


class Recipe(Section):
    name: Annotated[
        str,
        characters(200),
        matching(r"[A-Za-z0-9][A-Za-z0-9._-]*", "takes letters, digits, `.`, `_` and `-` only"),
    ]
    """Name of the run; its directory is `runs/<name>`."""
    seed: Seed = 1
    languages: Languages
    data: Data
    init: Init | None = None
    """An exported model that training begins with. `null`: random weights."""
    tokenizer: Tokenizer = Tokenizer()
    model: Model = Model()
    training: Training = Training()
    validation: Validation = Validation()
    decoding: Decoding = Decoding()

    @property
    def keeps_tokenizers(self) -> bool:
        """Whether the tokenizers are those of another model, which the recipe does not describe."""
        return self.init is not None and not self.init.extend

    def with_folders(self, folders: list[str]) -> Recipe:
        """The same recipe with other `data.folders`."""
        return self.replaced(data=self.data.replaced(folders=folders))

    def check(self) -> None:
        faults = [*self._training_faults(), *self._model_faults(), *self._tokenizer_faults(), *self._unused()]
        if faults:
            raise ValueError("; ".join(faults))

    def _unused(self) -> Iterator[str]:
        """Keys with another value than that by default, which has no effect because of a second key. (`Model` and
        `Decoding` allow them: there are such exported models.)"""
        training, model, decoding = self.training, self.model, self.decoding
        averaging, attention = training.averaging, model.attention
        last = averaging.method in ("last", "best")
        for name, section, keys, has_effect, because in (
            ("training", training, ("decay_factor", "decay_patience"), training.schedule == "plateau", "schedule"),
            ("training.averaging", averaging, ("count",), last, "method"),
            ("training.averaging", averaging, ("decay",), averaging.method == "ema", "method"),
            ("decoding", decoding, ("length_penalty",), decoding.normalization != "none", "normalization"),
            ("model.attention", attention, ("input_feeding",), attention.query == "current", "query"),
            ("model.encoder", model.encoder, ("residual",), model.encoder.layers > 1, "layers"),
            ("model.decoder", model.decoder, ("residual",), model.decoder.layers > 1, "layers"),
        ):
            for key in keys if not has_effect else ():
                default = getattr(type(section), key, None)
                if getattr(section, key, default) != default:
                    yield f"{name}.{key} has no effect: {name}.{because} is `{getattr(section, because)}`"

    def _training_faults(self) -> Iterator[str]:
        dropout = self.model.dropout.values(without=["variational"])
        for key, probability in dropout.items():
            if 0 < probability < LEAST_DROPOUT:
                yield f"model.dropout.{key} has no effect: below {LEAST_DROPOUT}, what is drawn as a byte is 0"
        if self.model.attends_afterwards:
            del dropout["readout"]  # which has no effect
        if self.model.dropout.variational and not any(map(dropout.get, ("embedding", "state", "readout"))):
            yield "model.dropout.variational has no effect: embedding, state and readout are 0"
        if self.training.objective.kind == "r_drop" and not any(dropout.values()):
            yield "training.objective `r_drop` needs dropout: all values of model.dropout are 0"
        if getattr(self.training.objective, "mix", None) == 0:
            weighed = {
                "training.label_smoothing": self.training.label_smoothing,
                "model.attention.coverage_loss": self.model.attention.coverage_loss,
            }
            for key in (key for key, weight in weighed.items() if weight):
                yield f"{key} has no effect: training.objective.mix is 0 (give {key.split('.')[-1]}: 0)"

    def _model_faults(self) -> Iterator[str]:
        """Parts that are asked for where nothing uses them."""
        model, context = self.model, self.model.decoder.context
        of_attention = {key: getattr(model.attention, key) for key in ("coverage", "coverage_loss", "heads")}
        for key, value in of_attention.items():
            if context != "attention" and value != getattr(Attention, key):
                yield f"model.attention.{key} has no effect: model.decoder.context is `{context}`"
        if context == "every_step" and model.encoder.bridge == "copy":
            yield "model.encoder.bridge has no effect: with model.decoder.context `every_step`, s_0 is a parameter"
        if model.tied == "target" and not model.decoder.feed_previous:
            yield "model.tied `target` has no effect: without model.decoder.feed_previous there is no target embedding"

    def _tokenizer_faults(self) -> Iterator[str]:
        if self.keeps_tokenizers:
            if "tokenizer" in vars(self):
                yield "`tokenizer` has no effect: init takes that of its model (or give init.extend: true)"
            return
        for key, value in (("tied", "all"), ("output", "copy")):
            if getattr(self.model, key) == value and not self.tokenizer.is_joint:
                yield f"model.{key} `{value}` needs one joint vocabulary (tokenizer.joint: true)"
        kinds = {side: self.tokenizer.of_side(side).kind for side in SIDES}
        for key in ("model", "character_coverage"):
            if "sentencepiece" not in kinds.values() and getattr(self.tokenizer, key) != getattr(Tokenizer, key):
                yield f"tokenizer.{key} has no effect: no side has a tokenizer of kind `sentencepiece`"
        for side, kind in kinds.items():
            is_again = self.tokenizer.is_joint and side == "target"
            own = getattr(self.tokenizer, side)
            for key in ("model", "character_coverage") if own and kind != "sentencepiece" else ():
                if getattr(own, key) is not None:
                    yield f"tokenizer.{side}.{key} has no effect: the kind of this tokenizer is `{kind}`"
            if self.tokenizer.of_side(side).case_markup and kind != "sentencepiece" and not is_again:
                key = "tokenizer.case_markup" if self.tokenizer.is_joint else f"tokenizer.{side}.case_markup"
                yield f"{key} needs a tokenizer of kind `sentencepiece`, not `{kind}` (give case_markup: false)"
            if kind != "sentencepiece" and getattr(self.training.subword_sampling, side) is not None:
                needs = f"needs a tokenizer of kind `sentencepiece`: that of this side is `{kind}`"
                yield f"training.subword_sampling.{side} {needs}"
