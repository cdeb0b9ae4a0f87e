"""Minimum risk training: by the formula, however a batch is divided, resumed bit for bit, and its risk falls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import mul

import pytest
import torch
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from tiny import batch_of, random_batches, random_pairs, tiny_model, tiny_section, tiny_trainer
from torch import Tensor

from s2s_cli.model import output as outputs
from s2s_cli.model.dropout import own_stream
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe.schema import Attention
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.text.similarity import build_utility
from s2s_cli.training import minimum_risk
from s2s_cli.training.batches import Batch
from s2s_cli.training.loss import sequence_loss
from s2s_cli.training.minimum_risk import MinimumRisk, Writer
from s2s_cli.training.trainer import Trainer

OUTPUTS = {
    "softmax": {},
    "copy": {"output": "copy"},
    "coverage": {"output": "copy", "attention": Attention(size=8, coverage=True, coverage_loss=0.7)},
}
each_output = pytest.mark.parametrize("output", OUTPUTS)
each_way = pytest.mark.parametrize("way", ["sample", "beam"])


def text_of(ids: Sequence[int]) -> str:
    return " ".join(f"word{number}" for number in ids)


def writer_of(way: str = "sample", metric: str = "bleu", count: int = 4, output: str = "softmax") -> Writer:
    options = SearchOptions(beam=count, n_best=count, sampling=SamplingOptions() if way == "sample" else None)
    return Writer(tiny_section(**OUTPUTS[output]), options, torch.float32, text_of, build_utility(metric, "en"))


def objective_of(writer: Writer, *, mix: float = 0.3, sharpness: float = 1.5, reference: bool = False) -> MinimumRisk:
    return MinimumRisk(0.1, writer, reference=reference, sharpness=sharpness, mix=mix)


@dataclass(frozen=True)
class Dictated(Writer):
    """Writes for each pair, by its number, what the test says."""

    candidates: tuple[list[list[int]], ...] = ()

    def write(self, model: Seq2Seq, batch: Batch) -> list[list[list[int]]]:
        return [self.candidates[pair] for pair in batch.pairs]


def dictated(metric: str, pairs: Sequence[tuple[list[int], list[int]]]) -> Dictated:
    """One to four different candidates, which share words with the reference or are the reference itself."""
    some = [[target, [5], [], [*target[::-1], 7]] for _, target in pairs]
    distinct = [[ids for place, ids in enumerate(each) if ids not in each[:place]] for each in some]
    kept = tuple(each[: 1 + row % 4] for row, each in enumerate(distinct))
    plain = writer_of(metric=metric)
    return Dictated(plain.section, plain.options, plain.dtype, plain.decode, plain.utility, candidates=kept)


# -------------------------------------------------------------------------------------------------------------- formula


def log_prob(model: Seq2Seq, source: list[int], target: list[int]) -> Tensor:
    batch = batch_of([(source, target)])
    previous_BT = torch.tensor([[2, *target]])
    decoded = model(batch.source_BS, batch.source_lengths_B, previous_BT)
    log_probs_TV = model.output.log_probs(decoded)[0]
    return log_probs_TV[torch.arange(len(target) + 1), batch.target_BT[0]].sum()


def cost(metric: str, text: str, reference: str) -> float:
    scorer = CHRF() if metric == "chrf" else BLEU(tokenize="13a", effective_order=True)
    return 1 - scorer.sentence_score(text, [reference]).score / 100


def by_the_formula(model: Seq2Seq, pairs: list, objective: MinimumRisk, metric: str) -> tuple[Tensor, Tensor]:
    """Pair by pair, candidate by candidate: the loss, and the risk of costs as they are."""
    plain = torch.zeros((), dtype=torch.double)
    total = (1 - objective.mix) * torch.zeros((), dtype=torch.double)
    for number, (source, target) in enumerate(pairs):
        candidates = list(objective.writer.candidates[number])  # type: ignore[attr-defined]
        if objective.reference and target not in candidates:
            candidates.append(target)
        weights = [(objective.sharpness * log_prob(model, source, ids) / (len(ids) + 1)).exp() for ids in candidates]
        costs = [cost(metric, text_of(ids), text_of(target)) for ids in candidates]
        plain = plain + sum(map(mul, weights, costs)) / sum(weights) * (len(target) + 1)
        spread = max(costs) - min(costs)
        costs = [(each - min(costs)) / spread if spread else 0.0 for each in costs]
        risk = sum(map(mul, weights, costs)) / sum(weights)
        total = total + (1 - objective.mix) * risk * (len(target) + 1) * len(costs) / objective.sharpness
        total = total + objective.mix * sequence_loss(model, batch_of([(source, target)]), 0.1).smoothed
    return total, plain


@each_output
@pytest.mark.parametrize(
    ("metric", "mix", "reference"), [("bleu", 0.3, False), ("chrf", 0.0, True), ("bleu", 0.5, True)]
)
def test_it_is_the_formula(
    output: str, metric: str, mix: float, reference: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "CHUNK", 16)
    model, pairs = tiny_model(**OUTPUTS[output]).double().train(), random_pairs(7)
    objective = objective_of(dictated(metric, pairs), mix=mix, reference=reference)
    (expected, plain), loss = by_the_formula(model, pairs, objective, metric), objective(model, batch_of(pairs))
    torch.testing.assert_close(loss.risk, plain.detach(), rtol=1e-10, atol=0)
    torch.testing.assert_close(loss.smoothed, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(loss.nll, sequence_loss(model, batch_of(pairs), 0.0).nll, rtol=1e-10, atol=0)
    assert loss.tokens == sum(len(target) + 1 for _, target in pairs)
    parameters = list(model.parameters())
    ours, theirs = (torch.autograd.grad(each, parameters, allow_unused=True) for each in (loss.smoothed, expected))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-8, atol=1e-12)
    assert sum(gradient.norm() for gradient in ours if gradient is not None) > 0.01


def test_one_candidate_gives_no_gradient_of_the_risk() -> None:
    model, pairs = tiny_model().double(), random_pairs(5)
    writer = replace(dictated("bleu", pairs), candidates=tuple([[4, 5]] for _ in pairs))
    loss = objective_of(writer, mix=0.0)(model, batch_of(pairs))
    gradients = torch.autograd.grad(loss.smoothed, list(model.parameters()))
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-14


def test_the_gradient_does_not_vanish_with_the_sharpness() -> None:
    """As α goes to 0, weights become equal, and tokens follow how far costs are from their mean."""
    model, pairs = tiny_model().double(), random_pairs(5)
    norms = []
    for sharpness in (1e-6, 1e-3):
        loss = objective_of(dictated("bleu", pairs), mix=0.0, sharpness=sharpness)(model, batch_of(pairs))
        gradients = torch.autograd.grad(loss.smoothed, list(model.parameters()))
        norms.append(float(sum(gradient.square().sum() for gradient in gradients)) ** 0.5)
    assert norms[0] == pytest.approx(norms[1], rel=1e-2)
    assert norms[0] > 0.1


# ----------------------------------------------------------------------------------------------------------- candidates


@each_way
@pytest.mark.parametrize("output", ["softmax", "copy"])
def test_candidates_differ_and_are_those_of_the_random_stream(way: str, output: str) -> None:
    model, batch = tiny_model(0.5, **OUTPUTS[output]).train(), batch_of(random_pairs(6))
    writer = writer_of(way, count=6, output=output)

    def written(seed: int) -> list[list[list[int]]]:
        with own_stream(seed):
            return writer.write(model, batch)

    first, again, other = written(1), written(1), written(2)
    assert model.training
    assert first == again
    assert (first == other) == (way == "beam")  # which draws nothing, and knows no dropout
    assert all(1 <= len(some) <= 6 and len(set(map(tuple, some))) == len(some) for some in first)
    assert max(map(len, first)) > 1
    limits = writer.options.length_limits(batch.source_lengths_B.numpy()).tolist()
    assert all(len(ids) <= limit for some, limit in zip(first, limits, strict=True) for ids in some)
    torch.manual_seed(4)
    drawn = [writer.write(model, batch) for _ in range(2)]
    assert (drawn[0] == drawn[1]) == (way == "beam")


def test_what_is_forbidden_is_not_written() -> None:
    model, batch = tiny_model(), batch_of(random_pairs(4))
    kept = dict(model.state_dict())
    written = replace(writer_of(), forbidden=(4, 5, 6)).write(model, batch)
    symbols = {symbol for some in written for ids in some for symbol in ids}
    assert symbols
    assert not symbols & {4, 5, 6}
    assert all(torch.equal(tensor, kept[name]) for name, tensor in model.state_dict().items())


def test_a_large_batch_is_searched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    model, writer = tiny_model(), writer_of("beam")
    batch = batch_of([pair for pair in random_pairs(9) for _ in range(2)])
    whole = writer.write(model, batch)
    monkeypatch.setattr(minimum_risk, "STEP_SCORES", 2 * 4 * model.vocabulary)
    assert writer.write(model, batch) == whole
    drawn = writer_of("sample").write(model, batch_of(random_pairs(1) * 4))
    assert drawn[0] != drawn[2] and drawn[1] != drawn[3]  # parts draw from streams of their own


# --------------------------------------------------------------------------------------- however a batch is divided


@pytest.fixture(params=[1, 3])
def threads(request: pytest.FixtureRequest) -> int:
    torch.set_num_threads(request.param)
    return request.param


def test_the_parts_of_a_batch_add_up(threads: int) -> None:
    pairs, weights = random_pairs(7), []
    for count, cuts in ((threads, [0, 7]), (1, [0, 7]), (1, [0, 3, 7])):
        torch.set_num_threads(count)
        trainer = tiny_trainer(objective=objective_of(dictated("chrf", pairs), reference=True))
        trainer.model.double()
        whole, batches = batch_of(pairs), []
        for start, stop in pairwise(cuts):
            part = batch_of(pairs[start:stop])
            batches.append(Batch(*list(vars(part).values())[:4], whole.pairs[start:stop]))
        for _ in range(3):
            trainer.update(batches)
        weights.append(dict(trainer.model.state_dict()))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(weights[2], weights[1], rtol=1e-9, atol=1e-12)


@each_way
def test_a_restored_trainer_goes_on_bit_for_bit(threads: int, way: str) -> None:
    def trained(batches: list[Batch]) -> Trainer:
        trainer = tiny_trainer(dropout=0.3, average=True, objective=objective_of(writer_of(way)))
        for batch in batches:
            trainer.update([batch])
        return trainer

    batches = random_batches(5)
    whole = trained(batches)
    snapshot = trained(batches[:2]).snapshot()
    second = trained(batches[:1])  # whatever it was before
    second.restore(snapshot)
    for batch in batches[2:]:
        second.update([batch])
    ours, theirs = second.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


# ------------------------------------------------------------------------------------------------------------- learning


@each_way
def test_the_risk_falls(way: str) -> None:
    """By its own gradient alone: without cross-entropy, and without the reference."""
    batches = random_batches(1)
    trainer = tiny_trainer(objective=objective_of(writer_of(way, "chrf", 8), mix=0.0, sharpness=1.0))

    def risk() -> float:
        with own_stream(3), torch.no_grad():
            losses = [trainer.objective(trainer.model.eval(), batch) for batch in batches]
        return sum(float(loss.risk) for loss in losses) / sum(loss.tokens for loss in losses)

    before = risk()
    for _ in range(25):
        trainer.update(batches)
    assert risk() < 0.9 * before
