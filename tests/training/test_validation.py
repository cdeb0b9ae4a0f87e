"""Figures of the dev set, and that measuring leaves the trainer as it was."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from tiny import batch_of, random_batches, random_pairs, tiny_model, tiny_trainer

from s2s_cli.data.shards import ParallelData
from s2s_cli.inference.translator import Translator
from s2s_cli.model.decoding import Decoding
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair
from s2s_cli.training.loss import sequence_loss
from s2s_cli.training.validation import MERITS, Figures, Validator, dev_batches, warn_of_words, weights_of

PAIRS = [(source, target) for source, target in random_pairs(30) if source and target]
LETTERS = CharacterTokenizer("abcdefgh")


@pytest.fixture(scope="module")
def data(tools, tmp_path_factory) -> ParallelData:
    sources, targets = zip(*PAIRS, strict=True)
    size = LETTERS.size
    return tools.write_pairs(tmp_path_factory.mktemp("dev"), source=(sources, size), target=(targets, size))


def validator_of(data: ParallelData, batch_tokens: int = 40) -> Validator:
    return Validator(
        data=data,
        batches=dev_batches(data, batch_tokens),
        sources=[LETTERS.decode(source) for source, _ in PAIRS],
        references=[LETTERS.decode(target) for _, target in PAIRS],
        translator_of=lambda model: Translator(Decoding(model), TokenizerPair(LETTERS, LETTERS), batch_tokens=50),
        language="en",
    )


def test_batches_hold_each_pair_once(data: ParallelData):
    batches = dev_batches(data, batch_tokens=20)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(PAIRS)))
    assert len(batches) > 1


@pytest.mark.parametrize("batch_tokens", [10, 40, 10_000])
def test_the_loss_is_that_of_all_pairs_together(data: ParallelData, batch_tokens: int):
    model = tiny_model(dropout=0.4).eval()
    expected = sequence_loss(model, batch_of(PAIRS), 0.0)
    model.train()
    found = validator_of(data, batch_tokens).measure(model, tiny_trainer().autocast())
    assert found.loss == pytest.approx(expected.nll.item() / expected.tokens, rel=1e-5)
    assert found.perplexity == pytest.approx(math.exp(found.loss))
    assert 0 <= found.bleu <= 100
    assert 0 <= found.chrf <= 100


def test_measuring_twice_finds_the_same_and_draws_no_random_number(data: ParallelData):
    trainer = tiny_trainer(dropout=0.4)
    validator = validator_of(data)
    before = torch.get_rng_state()
    first = validator.measure(trainer.model, trainer.autocast())
    assert validator.measure(trainer.model, trainer.autocast()) == first
    assert torch.equal(torch.get_rng_state(), before)


def test_training_goes_on_after_a_validation_as_if_there_had_been_none(data: ParallelData):
    trainer, undisturbed = tiny_trainer(dropout=0.3, average=True), tiny_trainer(dropout=0.3, average=True)
    for batch in random_batches(8):
        undisturbed.update([batch])
    torch.manual_seed(5)
    trainer = tiny_trainer(dropout=0.3, average=True)
    for batch in random_batches(8):
        trainer.update([batch])
        with weights_of(trainer.model, trainer.averaged_weights()):
            validator_of(data).measure(trainer.model, trainer.autocast())
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, undisturbed.model.state_dict()[name])


def test_other_weights_are_lent_only_inside_even_if_the_block_fails():
    model, other = tiny_model(), {name: tensor + 1 for name, tensor in tiny_model().state_dict().items()}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(KeyError), weights_of(model, other):
        assert all(torch.equal(tensor, other[name]) for name, tensor in model.state_dict().items())
        raise KeyError
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_the_own_weights_can_be_lent_too():
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with weights_of(model, model.state_dict()):
        assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_better_figures_have_more_merit():
    worse, better = Figures(loss=2.0, bleu=10.0, chrf=20.0), Figures(loss=1.0, bleu=11.0, chrf=21.0)
    assert all(merit(better) > merit(worse) for merit in MERITS.values())


@pytest.mark.parametrize("loss", [1e6, math.inf])
def test_perplexity_does_not_overflow(loss: float):
    assert math.isfinite(Figures(loss, 0.0, 0.0).perplexity)


@pytest.mark.parametrize(
    ("metric", "language", "reference", "warns"),
    [
        ("bleu", "jp", "そんな風に言うものじゃない。", True),
        ("bleu", "th", "ฉันไม่รู้ว่าเขาอยู่ที่ไหน", True),
        ("chrf", "jp", "そんな風に言うものじゃない。", False),
        ("bleu", "zh", "你为什么不想告诉我真相呢？", False),
        ("bleu", "fi", "Metsästäjä seurasi eläinten jälkiä.", False),
        ("bleu", "de", "", False),
    ],
)
def test_it_is_told_where_bleu_finds_no_words_to_compare(
    metric: str, language: str, reference: str, warns: bool, capfd: pytest.CaptureFixture[str]
):
    warn_of_words(metric, [reference, ""], language)
    assert ("finds hardly any words" in capfd.readouterr().err) == warns
