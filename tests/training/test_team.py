"""A batch whose pairs are shared among the members of a team, which are processes or threads."""

from __future__ import annotations

import gc
import mmap
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from tiny import batch_of, random_batches, random_pairs, tiny_section, tiny_trainer
from torch import Tensor, nn

from s2s_cli.cores import usable_cores
from s2s_cli.errors import MachineError
from s2s_cli.search.options import SamplingOptions, SearchOptions
from s2s_cli.training import team
from s2s_cli.training.batches import Batch
from s2s_cli.training.minimum_risk import MinimumRisk, Writer
from s2s_cli.training.objective import CrossEntropy, Objective, RDrop
from s2s_cli.training.team import MOST_MEMBERS, Gradients, Team, can_fork, shares
from s2s_cli.training.trainer import Trainer


@pytest.fixture(params=[2, 3])
def threads(request: pytest.FixtureRequest) -> int:
    """So many threads for torch."""
    torch.set_num_threads(request.param)
    return request.param


@pytest.fixture(params=["processes", "threads"])
def forks(request: pytest.FixtureRequest) -> bool:
    """Whether the members of a team are processes."""
    return request.param == "processes"


def trainer_of(forks: bool, **options: float | Objective) -> Trainer:
    trainer = tiny_trainer(**options)
    trainer.team._may_fork = forks
    return trainer


def trained(batches: list[Batch], forks: bool, stop: int = 0, **options: float | Objective) -> dict[str, Tensor]:
    """The weights after an update by each batch. stop: go on in another trainer after so many."""
    trainer = trainer_of(forks, **options)
    for update, batch in enumerate(batches):
        if stop and update == stop:
            snapshot, trainer = trainer.snapshot(), trainer_of(forks, **options)
            trainer.restore(snapshot)
        trainer.update([batch])
    assert (trainer.team.processes is not None) == forks
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """To the last bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_without_dropout_an_update_by_a_team_is_that_of_one_thread(threads: int, forks: bool):
    batches = [batch_of(random_pairs(pairs, pairs)) for pairs in (1, 2, 5, 9)]  # fewer pairs than threads, too
    by_team = trained(batches, forks)
    torch.set_num_threads(1)
    torch.testing.assert_close(by_team, trained(batches, forks=False), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("stop", [0, 3])
def test_with_dropout_a_run_is_the_same_to_the_last_bit_each_time(threads: int, forks: bool, stop: int):
    batches = random_batches(5)
    assert same(trained(batches, forks, dropout=0.3), trained(batches, forks, stop, dropout=0.3))


def risk_of_samples() -> Objective:
    """Its candidates are drawn at random."""
    options = SearchOptions(beam=3, n_best=3, sampling=SamplingOptions())
    writer = Writer(tiny_section(), options, torch.float32, str, utility=lambda texts: 100 * np.eye(len(texts)))
    return MinimumRisk(0.1, writer, reference=True, sharpness=0.5, mix=0.3)


@pytest.mark.parametrize("objective", [partial(CrossEntropy, 0.1), partial(RDrop, 0.1, 2.0), risk_of_samples])
def test_processes_and_threads_compute_the_same_to_the_last_bit(threads: int, objective: Callable[[], Objective]):
    batches = random_batches(5)
    by_processes, by_threads = (trained(batches, forks, dropout=0.3, objective=objective()) for forks in (True, False))
    assert same(by_processes, by_threads)


def test_parts_draw_unlike_masks_from_streams_that_timing_does_not_touch(threads: int, forks: bool):
    """The "gradient" of a part is the mask that it draws."""
    weight, dropout = nn.Parameter(torch.zeros(threads, 64)), tiny_trainer(dropout=0.5).model.embedding_dropout.train()

    def draw(part: Batch, first: int) -> Gradients:
        row = int(part.pairs[0])
        time.sleep(0.02 * (row != first))  # another member comes first each time
        mask = torch.zeros(threads, 64)
        mask[row] = dropout(torch.ones(64))
        return Gradients([mask], 0.0, 1)

    def masks(first: int) -> Tensor:
        torch.manual_seed(1)
        group = Team(partial(draw, first=first), [weight], forks=forks)
        [gradient] = group.gradients(batch_of(random_pairs(threads)).parts(threads)).of_parameters
        assert gradient is not None and (group.processes is not None) == forks
        return gradient

    assert torch.equal(masks(0), masks(1))
    assert len(masks(0).unique(dim=0)) == threads


def test_each_part_has_one_thread_to_itself(threads: int, forks: bool):
    meeting = torch.multiprocessing.get_context("fork").Barrier(threads) if forks else threading.Barrier(threads)

    def work(part: Batch) -> Gradients:
        meeting.wait(timeout=600)  # which only that many members at once can pass
        return Gradients([None], torch.get_num_threads(), len(part.pairs))

    group = Team(work, [nn.Parameter(torch.zeros(1))], forks=forks)
    assert group.gradients(batch_of(random_pairs(9)).parts(threads)) == ([None], threads, 9)
    assert torch.get_num_threads() == threads


@pytest.mark.skipif(usable_cores() < 2 or not hasattr(os, "sched_setaffinity"), reason="needs Linux and two cores")
def test_two_processes_that_have_two_cores_work_on_one_each():
    before = os.sched_getaffinity(0)
    torch.set_num_threads(2)
    seen, meeting = mmap.mmap(-1, 2), torch.multiprocessing.get_context("fork").Barrier(2)

    def work(part: Batch) -> Gradients:
        meeting.wait(timeout=600)
        [core] = os.sched_getaffinity(0)
        seen[int(part.pairs[0]) > 0] = core
        meeting.wait(timeout=600)
        return Gradients([None], 0.0, 1)

    try:
        os.sched_setaffinity(0, two := set(sorted(before)[:2]))
        group = Team(work, [nn.Parameter(torch.zeros(1))], forks=True)
        for _ in range(3):
            group.gradients(batch_of(random_pairs(9)).parts(2))
            assert set(seen[:]) == two
            assert group.processes is not None
            [worker] = group.processes.workers
            assert os.sched_getaffinity(0) == os.sched_getaffinity(worker.process.pid) == two
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("failing", [0, 1])
def test_the_fault_of_one_part_is_that_of_all_and_the_next_batch_has_its_own_gradients(
    threads: int, forks: bool, failing: int
):
    weight = nn.Parameter(torch.zeros(1))

    def work(part: Batch) -> Gradients:
        if part.source_BS[0, 0] == failing:
            raise ZeroDivisionError
        return Gradients([torch.ones(1)], 0.0, len(part.pairs))

    group = Team(work, [weight], forks=forks)
    with pytest.raises(ZeroDivisionError):
        group.gradients(batch_of([([number], []) for number in range(threads)]).parts(threads))
    assert torch.get_num_threads() == threads
    found = group.gradients(batch_of([([9], [])] * 7).parts(threads))
    assert (found.of_parameters, found.tokens) == ([torch.full((1,), float(threads))], 7)


def test_where_a_part_lacks_memory_the_batch_is_halved(threads: int, forks: bool):
    expected, trainer, this = trainer_of(False), trainer_of(forks), (os.getpid(), threading.main_thread())
    batch, gradients = batch_of(random_pairs(4 * threads)), trainer._gradients

    def limited(part: Batch) -> Gradients:
        if len(part.pairs) > 2 and (os.getpid(), threading.current_thread()) != this:
            raise MemoryError
        return gradients(part)

    trainer.team.work = limited
    trainer.update([batch])
    expected.update([batch])
    torch.testing.assert_close(trainer.model.state_dict(), expected.model.state_dict(), rtol=1e-3, atol=1e-5)


def test_gradients_of_several_batches_add_up(threads: int):
    """The room of a process is used again by the second one."""
    first, second = trainer_of(True, dropout=0.3), trainer_of(False, dropout=0.3)
    for trainer in (first, second):
        torch.manual_seed(1)
        trainer.update(random_batches(3))
    assert same(dict(first.model.state_dict()), dict(second.model.state_dict()))


def test_when_a_process_dies_the_update_is_made_by_threads(threads: int, capsys: pytest.CaptureFixture[str]):
    batches, trainer = random_batches(6), trainer_of(True, dropout=0.3)
    trainer.update([batches[0]])
    assert trainer.team.processes is not None
    os.kill(trainer.team.processes.workers[-1].process.pid, signal.SIGKILL)
    for batch in batches[1:]:
        trainer.update([batch])
    assert trainer.team.processes is None
    assert same(dict(trainer.model.state_dict()), trained(batches, forks=False, dropout=0.3))
    [line] = capsys.readouterr().err.splitlines()
    assert "a worker process ended unexpectedly" in line and "goes on by threads" in line


def test_where_no_process_can_be_started_threads_serve(
    threads: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def refused(*_: object) -> None:
        raise MachineError("no worker process can be started: no room")

    monkeypatch.setattr(team.Worker, "start", refused)
    batches, trainer = random_batches(3), trainer_of(True, dropout=0.3)
    for batch in batches:
        trainer.update([batch])
    assert same(dict(trainer.model.state_dict()), trained(batches, forks=False, dropout=0.3))
    assert capsys.readouterr().err.count("goes on by threads") == 1


def counting_team() -> Team:
    """Three members that tell how many pairs they have."""
    torch.set_num_threads(3)

    def work(part: Batch) -> Gradients:
        return Gradients([torch.ones(1)], 0.0, len(part.pairs))

    return Team(work, [nn.Parameter(torch.zeros(1))], forks=True)


def test_an_answer_to_an_earlier_batch_is_not_taken_for_one_to_this(monkeypatch: pytest.MonkeyPatch):
    group = counting_team()
    assert group.gradients(batch_of(random_pairs(9)).parts(3)).tokens == 9
    with monkeypatch.context() as patch:
        patch.setattr(team.Worker, "receive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            group.gradients(batch_of(random_pairs(30)).parts(3))
    assert group.gradients(batch_of(random_pairs(6)).parts(3)).tokens == 6


def interrupted(_: object) -> None:
    raise KeyboardInterrupt


def test_a_message_that_cannot_be_sent_leaves_no_answer_behind(monkeypatch: pytest.MonkeyPatch):
    group = counting_team()
    group.gradients(batch_of(random_pairs(9)).parts(3))
    send, sent = team.Worker.send, list[object]()

    def limited(worker: team.Worker, message: object) -> None:
        sent.append(message)
        if len(sent) == 2:
            raise MemoryError
        send(worker, message)

    monkeypatch.setattr(team.Worker, "send", limited)
    with pytest.raises(MemoryError):
        group.gradients(batch_of(random_pairs(30)).parts(3))
    assert group.gradients(batch_of(random_pairs(6)).parts(3)).tokens == 6
    assert group.processes is not None


def test_weights_that_were_moved_are_not_trained_in_silence():
    torch.set_num_threads(2)
    trainer = trainer_of(True)
    trainer.update([batch_of(random_pairs(9))])
    trainer.parameters[0].data = trainer.parameters[0].data.clone()
    with pytest.raises(RuntimeError, match="no longer where"):
        trainer.update([batch_of(random_pairs(9))])


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("way", ["closed", "forgotten"])
def test_processes_end_with_their_team(threads: int, way: str):
    trainer = trainer_of(True)
    trainer.update([batch_of(random_pairs(9))])
    assert trainer.team.processes is not None and trainer.team.memory() > 0
    started = [worker.process.pid for worker in trainer.team.processes.workers]
    assert len(started) == threads - 1 and all(map(is_alive, started))
    if way == "closed":
        trainer.team.close()
        trainer.update([batch_of(random_pairs(9))])  # by threads
        assert trainer.team.memory() == 0
    else:
        del trainer
        gc.collect()
    assert not any(map(is_alive, started))


def test_only_float32_on_cpu_is_shared():
    assert can_fork([nn.Parameter(torch.zeros(2))])
    assert not can_fork([nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2).double())])
    assert not can_fork([nn.Parameter(torch.zeros(2, device="meta"))])


def test_many_threads_are_left_to_openmp():
    for threads, expected in ((1, 1), (MOST_MEMBERS, MOST_MEMBERS), (MOST_MEMBERS + 1, 1)):
        torch.set_num_threads(threads)
        assert shares(100) == expected
