"""A batch whose pairs are shared among threads."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from tiny import batch_of, random_batches, random_pairs, tiny_trainer
from torch import Tensor

from s2s_cli.training.batches import Batch
from s2s_cli.training.team import MOST_THREADS, Team, shares


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> int:
    """So many threads for torch."""
    torch.set_num_threads(request.param)
    return request.param


def trained(batches: list[Batch], dropout: float, stop: int = 0, double: bool = False) -> dict[str, Tensor]:
    """The weights after an update by each batch. stop: go on in another trainer after so many."""
    trainer = tiny_trainer(dropout=dropout)
    if double:
        trainer.model.double()
    for update, batch in enumerate(batches):
        if stop and update == stop:
            snapshot, trainer = trainer.snapshot(), tiny_trainer(dropout=dropout)
            trainer.restore(snapshot)
        trainer.update([batch])
    return dict(trainer.model.state_dict())


def test_without_dropout_an_update_by_a_team_is_that_of_one_thread(threads: int):
    batches = [batch_of(random_pairs(pairs, pairs)) for pairs in (1, 2, 5, 9)]  # fewer pairs than threads, too
    by_team = trained(batches, dropout=0.0, double=True)
    torch.set_num_threads(1)
    torch.testing.assert_close(by_team, trained(batches, dropout=0.0, double=True), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("stop", [0, 3])
def test_with_dropout_a_run_is_the_same_to_the_last_bit_each_time(threads: int, stop: int):
    batches = random_batches(5)
    first, second = trained(batches, dropout=0.3), trained(batches, dropout=0.3, stop=stop)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_parts_draw_unlike_masks_from_streams_that_timing_does_not_touch(threads: int):
    trainer = tiny_trainer(dropout=0.5)
    dropout = trainer.model.embedding_dropout.train()

    def draw(part: int, first: int) -> Tensor:
        time.sleep(0.02 * (part != first))  # another thread comes first each time
        return dropout(torch.ones(64))

    torch.manual_seed(1)
    masks = trainer.team.map(lambda part: draw(part, 0), range(threads))
    torch.manual_seed(1)
    again = trainer.team.map(lambda part: draw(part, 1), range(threads))
    assert all(torch.equal(mask, other) for mask, other in zip(masks, again, strict=True))
    assert not torch.equal(masks[0], masks[1])


def test_each_part_has_one_thread_to_itself(threads: int):
    meeting = threading.Barrier(threads)  # which only that many threads at once can pass

    def work(part: int) -> tuple[int, int]:
        meeting.wait(timeout=600)
        return part, torch.get_num_threads()

    assert Team().map(work, range(threads)) == [(part, 1) for part in range(threads)]
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("failing", [0, 1])
def test_the_fault_of_one_part_is_that_of_all(threads: int, failing: int):
    def work(part: int) -> int:
        return 1 // (part - failing)

    with pytest.raises(ZeroDivisionError):
        Team().map(work, range(threads))
    assert torch.get_num_threads() == threads


def test_where_a_part_lacks_memory_the_batch_is_halved(threads: int, monkeypatch: pytest.MonkeyPatch):
    expected, trainer = tiny_trainer(), tiny_trainer()
    batch, gradients = batch_of(random_pairs(4 * threads)), trainer._gradients

    def limited(part: Batch) -> object:
        if len(part.pairs) > 2 and threading.current_thread() is not threading.main_thread():
            raise MemoryError
        return gradients(part)

    monkeypatch.setattr(trainer, "_gradients", limited)
    trainer.update([batch])
    expected.update([batch])
    torch.testing.assert_close(trainer.model.state_dict(), expected.model.state_dict(), rtol=1e-3, atol=1e-5)


def test_many_threads_are_left_to_openmp():
    for threads, expected in ((1, 1), (MOST_THREADS, MOST_THREADS), (MOST_THREADS + 1, 1)):
        torch.set_num_threads(threads)
        assert shares(100) == expected
