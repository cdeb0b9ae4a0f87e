"""The fused loss is torch's own cross-entropy, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from s2s_cli.model.kernels import cross_entropy
from s2s_cli.model.kernels.cross_entropy import fused_cross_entropy, fused_log_probs

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def inputs(rows: int, kind: torch.dtype = torch.float64, symbols: int = 37) -> tuple[list[Tensor], Tensor]:
    """Readout, weight and bias; targets."""
    torch.manual_seed(2)
    shapes = ((rows, 8), (symbols, 8), (symbols,))
    return [torch.randn(shape).to(kind).requires_grad_() for shape in shapes], torch.randint(symbols, (rows,))


def torch_loss(tensors: list[Tensor], targets_N: Tensor, smoothing: float) -> Tensor:
    logits_NV = functional.linear(*(tensor.double() for tensor in tensors))
    return functional.cross_entropy(logits_NV, targets_N, reduction="sum", label_smoothing=smoothing)


@pytest.mark.parametrize("kind", TOLERANCE, ids=str)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [1, 7, 20], ids=lambda rows: f"{rows} rows")
def test_it_equals_torch(kind: torch.dtype, smoothing: float, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK", 7)
    tensors, targets_N = inputs(rows, kind)
    tolerance = TOLERANCE[kind]
    expected = torch_loss(tensors, targets_N, smoothing)
    loss, likelihood = fused_cross_entropy(*tensors, targets_N, smoothing)
    torch.testing.assert_close(loss.double(), expected, rtol=tolerance, atol=0)
    torch.testing.assert_close(likelihood.double(), torch_loss(tensors, targets_N, 0.0), rtol=tolerance, atol=0)
    for scale in (1.0, 0.3):
        ours = torch.autograd.grad(scale * loss, tensors, retain_graph=True)
        theirs = torch.autograd.grad(scale * expected, tensors, retain_graph=True)
        for our, their in zip(ours, theirs, strict=True):
            assert our.dtype is kind
            assert (our.double() - their.double()).norm() <= tolerance * their.double().norm()


@pytest.mark.parametrize("kind", TOLERANCE, ids=str)
@pytest.mark.parametrize("rows", [0, 1, 7, 20], ids=lambda rows: f"{rows} rows")
def test_log_probs_are_torchs(kind: torch.dtype, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever each row weighs in the gradient."""
    monkeypatch.setattr(cross_entropy, "CHUNK", 7)
    tensors, targets_N = inputs(rows, kind)
    logits_NV = functional.linear(*(tensor.double() for tensor in tensors))
    expected_N = -functional.cross_entropy(logits_NV, targets_N, reduction="none")
    log_probs_N, weights_N = fused_log_probs(*tensors, targets_N), torch.randn(rows, dtype=torch.double)
    torch.testing.assert_close(log_probs_N.double(), expected_N, rtol=TOLERANCE[kind], atol=TOLERANCE[kind])
    assert log_probs_N.dtype is (torch.float64 if kind is torch.float64 else torch.float32)
    ours = torch.autograd.grad(log_probs_N, tensors, weights_N.to(log_probs_N))
    theirs = torch.autograd.grad(expected_N, tensors, weights_N)
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype is kind
        assert (our.double() - their.double()).norm() <= TOLERANCE[kind] * their.double().norm()


def test_products_run_in_the_type_of_autocast() -> None:
    tensors, targets_N = inputs(20, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = fused_cross_entropy(*tensors, targets_N, 0.1)
    loss.backward()
    expected = torch_loss(tensors, targets_N, 0.1)
    assert loss.dtype is torch.float32
    assert 0 < (loss - expected).abs() < 0.02 * expected
    assert all(tensor.grad is not None and tensor.grad.dtype is torch.float32 for tensor in tensors)


def test_no_rows() -> None:
    tensors, targets_N = inputs(0)
    loss, likelihood = fused_cross_entropy(*tensors, targets_N, 0.1)
    loss.backward()
    assert loss == likelihood == 0
    assert all(tensor.grad is not None and not tensor.grad.any() for tensor in tensors)


@torch.no_grad()
def test_without_gradients() -> None:
    tensors, targets_N = inputs(5)
    loss, _ = fused_cross_entropy(*tensors, targets_N, 0.1)
    torch.testing.assert_close(loss, torch_loss(tensors, targets_N, 0.1))


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
@pytest.mark.parametrize("target", [-1, 37])
def test_a_target_outside_of_the_vocabulary_is_an_error(kind: torch.dtype, target: int) -> None:
    tensors, targets_N = inputs(5, kind)
    targets_N[2] = target
    with pytest.raises(IndexError):
        fused_cross_entropy(*tensors, targets_N, 0.1)


def test_the_inputs_are_not_changed() -> None:
    tensors, targets_N = inputs(5, torch.float32)
    before = [tensor.detach().clone() for tensor in tensors]
    fused_cross_entropy(*tensors, targets_N, 0.1)
    assert all(torch.equal(old, new) for old, new in zip(before, tensors, strict=True))


# ----------------------------------------------------------------------------------------------------------- divergence


def torch_divergence(tensors: list[Tensor]) -> Tensor:
    """KL(p‖q) + KL(q‖p), p of the rows of the first half and q of those of the second."""
    p, q = functional.linear(*(tensor.double() for tensor in tensors)).log_softmax(dim=1).chunk(2)
    from_q = functional.kl_div(q, p, reduction="sum", log_target=True)
    return from_q + functional.kl_div(p, q, reduction="sum", log_target=True)


@pytest.mark.parametrize("kind", TOLERANCE, ids=str)
@pytest.mark.parametrize("rows", [2, 14, 40], ids=lambda rows: f"{rows} rows")
@pytest.mark.parametrize("weight", [0.5, 2.5])
def test_the_divergence_between_halves_is_torchs(
    kind: torch.dtype, rows: int, weight: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_entropy, "CHUNK", 28)
    tensors, targets_N = inputs(rows, kind)
    expected = torch_loss(tensors, targets_N, 0.1) + weight * torch_divergence(tensors)
    loss, likelihood = fused_cross_entropy(*tensors, targets_N, 0.1, weight)
    tolerance = TOLERANCE[kind]
    torch.testing.assert_close(loss.double(), expected, rtol=tolerance, atol=0)
    torch.testing.assert_close(likelihood.double(), torch_loss(tensors, targets_N, 0.0), rtol=tolerance, atol=0)
    ours, theirs = torch.autograd.grad(loss, tensors), torch.autograd.grad(expected, tensors)
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype is kind
        assert (our.double() - their.double()).norm() <= tolerance * their.double().norm()


def test_equal_halves_do_not_diverge() -> None:
    tensors, targets_N = inputs(6)
    twice = [tensors[0].repeat(2, 1).detach().requires_grad_(), *tensors[1:]]
    plain, _ = fused_cross_entropy(*twice, targets_N.repeat(2), 0.1)
    loss, _ = fused_cross_entropy(*twice, targets_N.repeat(2), 0.1, 5.0)
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(torch.autograd.grad(loss, twice), torch.autograd.grad(plain, twice))


def test_no_rows_do_not_diverge() -> None:
    tensors, targets_N = inputs(0)
    loss, _ = fused_cross_entropy(*tensors, targets_N, 0.1, 5.0)
    assert loss == 0
