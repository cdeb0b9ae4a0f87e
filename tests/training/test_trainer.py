"""One update, and going on from a snapshot bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from tiny import batch_of, random_batches, random_pairs, tiny_trainer
from torch import Tensor

from s2s_cli.checkpoint.manager import CheckpointManager
from s2s_cli.errors import DataError
from s2s_cli.training.averaging import EVERY
from s2s_cli.training.batches import Batch
from s2s_cli.training.loss import sequence_loss
from s2s_cli.training.trainer import MOST_SKIPPED, Position, Trainer


def weights_of(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def break_gradient(trainer: Trainer, value: float = math.nan) -> torch.utils.hooks.RemovableHandle:
    """From now on the gradient of one number is `value`."""
    return trainer.model.output.bias.register_hook(lambda gradient: gradient.index_fill(0, torch.tensor([3]), value))


# ------------------------------------------------------------------------------------------------------- one update


@pytest.mark.parametrize("cuts", [(3, 4), (1, 6), (2, 2, 3)])
@pytest.mark.parametrize("clip_norm", [None, 0.01])
def test_batches_accumulate_to_the_update_of_their_union(cuts: tuple[int, ...], clip_norm: float | None):
    pairs = random_pairs(7)
    parts, rest = [], list(pairs)
    for size in cuts:
        parts.append(batch_of(rest[:size]))
        rest = rest[size:]
    whole, split = tiny_trainer(clip_norm=clip_norm), tiny_trainer(clip_norm=clip_norm)
    for trainer, batches in ((whole, [batch_of(pairs)]), (split, parts)):
        trainer.model.double()
        for _ in range(3):
            update = trainer.update(batches)
    torch.testing.assert_close(weights_of(split), weights_of(whole), rtol=1e-9, atol=1e-12)
    assert update.tokens == sum(len(target) + 1 for _, target in pairs)
    assert (whole.position.batch, split.position.batch) == (3, 3 * len(cuts))


def gradient(trainer: Trainer, batch: Batch) -> Tensor:
    """Of the mean loss per token."""
    loss = trainer.objective(trainer.model, batch)
    return torch.cat(
        [part.flatten() for part in torch.autograd.grad(loss.smoothed / loss.tokens, trainer.model.parameters())]
    )


@pytest.mark.parametrize("share", [0.5, 2.0, None])
def test_the_gradient_is_clipped_to_its_norm(share: float | None, monkeypatch: pytest.MonkeyPatch):
    trainer, batch = tiny_trainer(), batch_of(random_pairs(5))
    expected = gradient(trainer, batch)
    norm = expected.norm().item()
    trainer.clip_norm = share and share * norm
    seen = []
    monkeypatch.setattr(
        trainer.optimizer, "step", lambda rate: seen.extend(p.grad.clone().flatten() for p in trainer.parameters)
    )
    update = trainer.update([batch])
    assert update.gradient_norm == pytest.approx(norm, rel=1e-5)
    torch.testing.assert_close(torch.cat(seen), expected * min(share or 1.0, 1.0), rtol=1e-4, atol=1e-7)
    assert all(parameter.grad is None for parameter in trainer.model.parameters())


def test_an_update_reports_its_learning_rate_and_loss():
    trainer, batch = tiny_trainer(), batch_of(random_pairs(5))
    expected = sequence_loss(trainer.model, batch, 0.0)
    update = trainer.update([batch])
    assert update.learning_rate == trainer.schedule.rate(1)
    assert update.nll == pytest.approx(expected.nll.item(), rel=1e-5)
    assert (trainer.position.update, trainer.position.batch) == (1, 1)


def test_training_lowers_the_loss():
    trainer, batches = tiny_trainer(), random_batches(3)
    first, *_, last = (update.nll / update.tokens for update in (trainer.update(batches) for _ in range(20)))
    assert last < 0.8 * first


# ----------------------------------------------------------------------------------------------- broken gradients


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_broken_gradient_changes_nothing_but_the_count(value: float):
    trainer, batches = tiny_trainer(average=True), random_batches(2)
    trainer.update(batches)
    before, moments, average = weights_of(trainer), trainer._optimizer_tensors(), dict(trainer.average.weights)
    moments = {name: tensor.clone() for name, tensor in moments.items()}
    average = {name: tensor.clone() for name, tensor in average.items()}
    hook = break_gradient(trainer, value)
    for _ in range(10):  # a refresh of the average among them
        assert trainer.update(batches).skipped
    assert same(weights_of(trainer), before)
    assert same(trainer._optimizer_tensors(), moments)
    assert same(trainer.average.weights, average)
    assert (trainer.position.update, trainer.position.skipped) == (11, 10)
    hook.remove()
    assert not trainer.update(batches).skipped
    assert trainer.position.skipped == 0
    assert all(tensor.isfinite().all() for tensor in weights_of(trainer).values())


def test_training_stops_after_too_many_broken_gradients_in_a_row():
    trainer, batches = tiny_trainer(), random_batches(1)
    trainer.update(batches)
    before = weights_of(trainer)
    break_gradient(trainer)
    for _ in range(MOST_SKIPPED - 1):
        trainer.update(batches)
    with pytest.raises(DataError, match=f"not a finite number in {MOST_SKIPPED} updates in a row"):
        trainer.update(batches)
    assert same(weights_of(trainer), before)


def test_the_count_of_broken_gradients_survives_a_resume():
    trainer, batches = tiny_trainer(), random_batches(1)
    break_gradient(trainer)
    for _ in range(MOST_SKIPPED - 1):
        trainer.update(batches)
    other = tiny_trainer()
    other.restore(trainer.snapshot())
    break_gradient(other)
    with pytest.raises(DataError):
        other.update(batches)


# -------------------------------------------------------------------------------------------------- going on exactly


def go_on(trainer: Trainer, batches: Iterable[Batch]) -> None:
    """Updates, and now and then a validation without progress."""
    for batch in batches:
        trainer.update([batch])
        if trainer.position.update % 3 == 0:
            trainer.schedule.after_validation(trainer.patience.judge(-trainer.position.update, trainer.position.update))


@pytest.mark.parametrize("stop", [0, 1, 8, 11, 17])
def test_a_restored_trainer_goes_on_bit_for_bit(stop: int, tmp_path: Path):
    batches = random_batches(18)
    options = {"dropout": 0.3, "average": True, "clip_norm": 0.5, "course": "plateau"}
    whole = tiny_trainer(**options)
    go_on(whole, batches)
    random_number = torch.rand(())

    first = tiny_trainer(**options)
    go_on(first, batches[:stop])
    manager = CheckpointManager(tmp_path, keep=1)
    manager.save(first.snapshot(), best=False)
    second = tiny_trainer(**options)
    go_on(second, batches[:5])  # whatever it was before
    torch.manual_seed(99)
    snapshot = manager.load_latest()
    assert snapshot is not None
    second.restore(snapshot)
    go_on(second, batches[stop:])

    assert torch.equal(torch.rand(()), random_number)
    assert second.position == whole.position
    assert second.schedule == whole.schedule
    assert second.patience == whole.patience
    ours, theirs = second.snapshot(), whole.snapshot()
    assert same(ours.weights, theirs.weights)
    assert same(ours.optimizer, theirs.optimizer)
    assert same(ours.extra["average"], theirs.extra["average"])
    assert ours.scalars == theirs.scalars


def test_dropout_really_draws_random_numbers():
    first, second = tiny_trainer(dropout=0.3), tiny_trainer(dropout=0.3)
    (batch,) = random_batches(1)
    first.update([batch])
    torch.manual_seed(98)
    second.update([batch])
    assert not same(weights_of(first), weights_of(second))


@pytest.mark.parametrize("older", [False, True])
def test_tied_tables_are_saved_once_and_restored_also_from_an_older_checkpoint(tmp_path: Path, older: bool):
    trainer, again, batches = (*(tiny_trainer(average=True, tied="all") for _ in range(2)), random_batches(20))
    go_on(trainer, batches[:9])
    snapshot = trainer.snapshot()
    if older:  # it held a table under each of its names
        further = trainer.model.tied_names().items()
        snapshot.weights = snapshot.weights | {name: snapshot.weights[own] for name, own in further}
        average = snapshot.extra["average"]
        snapshot.extra["average"] = average | {name: average[own] for name, own in further}
    CheckpointManager(tmp_path, keep=1).save(snapshot, best=False)
    loaded = CheckpointManager(tmp_path, keep=1).load_latest()
    tables = ["encoder.embedding.weight", "embedding.weight", "output.weight"]
    for tensors in (loaded.weights, loaded.extra["average"]):
        assert [name for name in tables if name in tensors] == (tables if older else tables[:1])
    go_on(again, batches[9:12])
    again.restore(loaded)
    for each in (trainer, again):
        go_on(each, batches[9:])
    assert same(weights_of(again), weights_of(trainer))
    assert same(dict(again.average.weights), {name: trainer.average.weights[name] for name in again.average.weights})


def test_a_restored_trainer_shares_no_memory_with_its_snapshot():
    trainer, other, batches = tiny_trainer(average=True), tiny_trainer(average=True), random_batches(9)
    go_on(trainer, batches)
    snapshot = trainer.snapshot()
    parts = [snapshot.weights, snapshot.optimizer, snapshot.extra["average"], snapshot.random]
    before = [{name: tensor.clone() for name, tensor in part.items()} for part in parts]
    other.restore(snapshot)
    go_on(other, batches)
    assert all(same(part, old) for part, old in zip(parts, before, strict=True))


@pytest.mark.parametrize("updates", [3, 11])
def test_an_average_that_the_run_did_not_have_begins_with_its_weights(updates: int):
    trainer, other, batches = tiny_trainer(), tiny_trainer(average=True), random_batches(updates)
    go_on(trainer, batches)
    other.restore(trainer.snapshot())
    assert same(other.averaged_weights(), weights_of(trainer))


@pytest.mark.parametrize("updates", [3, 11])
def test_a_checkpoint_that_does_not_tell_the_share_of_the_start_goes_on(updates: int):
    """As it was written when the start was part of the average: worth something only after a refresh."""
    trainer, other = tiny_trainer(average=True), tiny_trainer(average=True)
    start = weights_of(trainer)
    go_on(trainer, random_batches(updates))
    older = trainer.snapshot()
    del older.scalars["average_start"]
    if updates < EVERY:
        older.extra["average"] = start
    other.restore(older)
    assert same(other.averaged_weights(), trainer.averaged_weights())


@pytest.mark.parametrize("average", [False, True])
def test_it_is_known_whether_the_weights_to_measure_are_others_than_at_the_last_validation(average: bool):
    trainer, measured = tiny_trainer(average=average), dict[str, Tensor]()
    for update, batch in enumerate(random_batches(40), start=1):
        trainer.update([batch])
        if update in {2, 5, 8, 9, 15, 16, 31, 33, 39, 40}:
            assert trainer.has_new_weights() == (not same(trainer.averaged_weights(), measured))
            measured = {name: tensor.clone() for name, tensor in trainer.averaged_weights().items()}
            trainer.position.validated = update


def test_a_position_counts_the_epochs_that_were_begun():
    position = Position()
    assert position.epochs_begun == 0
    position.batch = 3
    assert position.epochs_begun == 1
    position.end_epoch()
    assert (position.epoch, position.batch, position.epochs_begun) == (1, 0, 1)


@pytest.mark.parametrize("end", [3, 4])
def test_a_checkpoint_that_does_not_tell_where_the_last_epoch_ended_goes_on(end: int):
    trainer, other = tiny_trainer(), tiny_trainer()
    for batch in random_batches(4):
        trainer.update([batch])
        if trainer.position.update == end:
            trainer.position.end_epoch()
    older = trainer.snapshot()
    del older.scalars["position"]["epoch_end"]
    other.restore(older)
    assert (other.position.update == other.position.epoch_end) == (end == 4)
