"""That members learn: small, but a decoder or attention that is wired wrongly fails here."""

from __future__ import annotations

import pytest
import torch
from family import BOS, PAD, section
from torch import Tensor, nn

from s2s_cli.model.building import build_model
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema

EOS, SIZE = 3, 12


def sequences(count: int, lengths: tuple[int, ...], seed: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randint(4, SIZE, (lengths[i % len(lengths)],), generator=draw) for i in range(count)]


def batched(sides: list[Tensor]) -> Tensor:
    ended = [torch.cat([side, torch.tensor([EOS])]) for side in sides]
    return nn.utils.rnn.pad_sequence(ended, batch_first=True, padding_value=PAD)


def loss(model: Seq2Seq, sources: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Mean over the words of -log p."""
    source_BS, target_BT = batched(sources), batched(targets)
    previous_BT = nn.functional.pad(target_BT, (1, -1), value=BOS)
    log_probs_BTV = model.output.log_probs(model(source_BS, (source_BS != PAD).sum(dim=1), previous_BT))
    return nn.functional.nll_loss(log_probs_BTV.flatten(0, 1), target_BT.flatten(), ignore_index=PAD)


def learner(member: schema.Model) -> tuple[Seq2Seq, torch.optim.Optimizer]:
    torch.manual_seed(1)
    model = build_model(member, SIZE, SIZE)
    return model, torch.optim.Adam(model.parameters(), lr=0.02)


def learn(model: Seq2Seq, optimiser: torch.optim.Optimizer, sources: list[Tensor], targets: list[Tensor]) -> None:
    optimiser.zero_grad()
    loss(model, sources, targets).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()


@torch.no_grad()
def greedy(model: Seq2Seq, source: Tensor, steps: int) -> list[int]:
    source_BS = batched([source])
    state, word, words = model.start(source_BS, torch.tensor([source_BS.shape[1]])), torch.tensor([[BOS]]), []
    for _ in range(steps):
        step, state = model.step(word, state)
        word = step.log_probs_BKV.argmax(dim=2)
        words.append(word.item())
    return words


SMALL = {"embedding": 16, "encoder.hidden": 16, "decoder.hidden": 32, "attention.size": 16}


@pytest.mark.parametrize(
    "choices",
    [
        {"decoder.context": "initial", "decoder.feed_previous": False},
        {"decoder.context": "initial"},
        {"decoder.context": "every_step", "decoder.feed_previous": False},
        {"decoder.context": "every_step"},
        {},
        {"attention.query": "current", "attention.score": "general"},
    ],
    ids=lambda choices: " ".join(map(str, choices.values())) or "attention",
)
def test_each_decoder_learns_a_handful_of_reversals_by_heart(choices: dict[str, object]) -> None:
    sources = sequences(6, lengths=(4, 3, 2), seed=1)
    targets = [source.flip(0) for source in sources]
    model, optimiser = learner(section(**SMALL | choices))
    for _ in range(60):
        learn(model, optimiser, sources, targets)
    for source, target in zip(sources, targets, strict=True):
        assert greedy(model.eval(), source, len(target) + 1) == [*target.tolist(), EOS]


def test_attention_copies_unseen_sequences_better_than_a_fixed_context() -> None:
    unseen = sequences(64, lengths=(8,), seed=99)
    losses = {}
    for context in ("initial", "attention"):
        model, optimiser = learner(section(**SMALL, **{"decoder.context": context}))
        for update in range(80):
            fresh = sequences(32, lengths=(8,), seed=update + 1000)
            learn(model, optimiser, fresh, fresh)
        with torch.no_grad():
            losses[context] = loss(model.eval(), unseen, unseen).item()
    assert losses["attention"] < 0.5 * losses["initial"]
