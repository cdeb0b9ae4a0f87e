"""A batch that memory does not suffice for, and the same batch in parts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tiny import batch_of, random_batches, random_pairs, tiny_model
from torch import Tensor, nn

from s2s_cli.errors import MachineError
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.training.batches import Batch
from s2s_cli.training.gradients import add_gradients
from s2s_cli.training.loss import sequence_loss

LACKS = {
    "GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "CPU": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: ..."
    ),
    "Python": MemoryError(),
}


class Limited:
    """The loss of a batch and its gradients, for which memory suffices only up to so many pairs."""

    def __init__(self, model: Seq2Seq, most: int, lack: BaseException, in_backward: bool = False) -> None:
        self.model, self.most, self.lack, self.in_backward = model, most, lack, in_backward
        self.sizes: list[int] = []
        if in_backward:  # when other parameters have their gradients already
            model.encoder.embedding.weight.register_hook(self._check)

    def __call__(self, batch: Batch) -> tuple[float, int]:
        self.sizes.append(len(batch.pairs))
        if not self.in_backward:
            self._check()
        loss = sequence_loss(self.model, batch, smoothing=0.1)
        loss.smoothed.backward()
        return loss.nll.item(), loss.tokens

    def _check(self, gradient: Tensor | None = None) -> None:
        if self.sizes[-1] > self.most:
            raise self.lack


def gradients_by(make: Callable[[Seq2Seq], Limited], batches: list[Batch]) -> tuple[list[Tensor], float, int]:
    """Of all batches one after the other: gradients, −log p, tokens."""
    model = tiny_model().double()
    parameters: list[nn.Parameter] = list(model.parameters())
    work = make(model)
    results = [result for batch in batches for result in add_gradients(parameters, work, batch)]
    assert all(parameter.grad is not None for parameter in parameters)
    nll, tokens = (sum(column) for column in zip(*results, strict=True))
    return [parameter.grad for parameter in parameters], nll, tokens


@pytest.mark.parametrize("lack", LACKS)
@pytest.mark.parametrize("in_backward", [False, True])
@pytest.mark.parametrize("most", [1, 2, 4])
def test_without_dropout_the_gradient_of_a_split_batch_is_that_of_the_whole(most: int, in_backward: bool, lack: str):
    batches = [batch_of(random_pairs(count, seed)) for seed, count in enumerate((4, 7, 1))]
    plain, split = (
        gradients_by(lambda model, most=most: Limited(model, most, LACKS[lack], in_backward), batches)
        for most in (7, most)
    )
    torch.testing.assert_close(split, plain, rtol=1e-9, atol=1e-12)


def test_a_batch_is_split_no_more_than_needed(capfd: pytest.CaptureFixture[str]):
    model = tiny_model()
    work = Limited(model, 4, LACKS["CPU"])
    add_gradients(list(model.parameters()), work, batch_of(random_pairs(9)))
    assert work.sizes == [9, 4, 5, 2, 3]
    assert "not enough memory for 9 pairs at once" in capfd.readouterr().err


def test_a_half_is_no_wider_than_it_needs_to_be():
    pairs = [([5], [6]), ([5], [6, 7]), ([5] * 9, [6] * 4), ([5] * 3, [6] * 8)]
    seen = []

    def narrow(batch: Batch) -> None:
        if len(batch.pairs) > 2:
            raise LACKS["CPU"]
        seen.append((batch.source_BS.shape, batch.target_BT.shape, batch.pairs.tolist()))

    add_gradients([], narrow, batch_of(pairs))
    assert seen == [((2, 2), (2, 3), [0, 1]), ((2, 10), (2, 9), [2, 3])]


def test_a_single_pair_that_is_too_large_is_told_with_its_lengths():
    model = tiny_model()
    with pytest.raises(MachineError, match="single pair of 6 source and 4 target pieces.*max_pieces"):
        add_gradients(list(model.parameters()), Limited(model, 0, LACKS["GPU"]), batch_of([([5] * 5, [6] * 3)] * 3))


def test_another_fault_is_not_taken_for_a_lack_of_memory():
    model = tiny_model()
    work = Limited(model, 1, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        add_gradients(list(model.parameters()), work, *random_batches(1))
    assert len(work.sizes) == 1


def test_a_batch_without_pairs_leaves_the_gradients_as_they_are():
    model = tiny_model()
    work = Limited(model, 9, LACKS["CPU"])
    assert add_gradients(list(model.parameters()), work, batch_of(random_pairs(1))) != []
    before = [parameter.grad.clone() for parameter in model.parameters()]
    (batch,) = random_batches(1)
    empty = Batch(
        batch.source_BS[:0],
        batch.source_lengths_B[:0],
        batch.target_BT[:0],
        batch.target_lengths_B[:0],
        batch.pairs[:0],
    )
    assert add_gradients(list(model.parameters()), work, empty) == []
    torch.testing.assert_close([parameter.grad for parameter in model.parameters()], before, rtol=0, atol=0)
