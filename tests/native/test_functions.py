"""Each function of training computes what its reference in PyTorch does, over odd sizes and strides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_arrays import RandomArrays

from s2s_cli.model.kernels import aten, native
from s2s_cli.model.kernels.passes import (
    AttentionGradients,
    AttentionRun,
    BlendGradients,
    BlendRun,
    GRUGradients,
    GRURun,
)
from s2s_cli.native import products, training
from s2s_cli.native.calls import Function

TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}
TRAINING = [(function, variant) for function in training.FUNCTIONS.values() for variant in function.kinds]
few = settings(max_examples=25, deadline=None, derandomize=True)


def each(cases: list[tuple[Function, str]]):
    names = [f"{function.name} {variant}" for function, variant in cases]
    return pytest.mark.parametrize(("function", "variant"), cases, ids=names)


def as_tensor(array: np.ndarray | list | None) -> torch.Tensor | list | None:
    """On the same memory."""
    if array is None:
        return None
    if isinstance(array, list):
        return [as_tensor(each) for each in array]
    return (
        torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
        if array.dtype == np.uint16
        else torch.from_numpy(array)
    )


def assert_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found.float(), expected.float(), atol=tolerance, rtol=tolerance)


def widened(tensors: list[torch.Tensor | None]) -> list[torch.Tensor | None]:
    """Copies in float32 of what is bfloat16: the reference rounds at the end alone, as C does."""
    return [None if t is None else t.float() if t.dtype == torch.bfloat16 else t.clone() for t in tensors]


def run_reference(name: str, tensors: list, scalars: tuple) -> list:
    """Let aten.py do it; the tensors afterwards."""
    match name:
        case "gru_forward":
            aten.gru_forward(GRURun(*tensors))(*scalars)
        case "gru_backward":
            aten.gru_backward(GRURun(*tensors[:7]), GRUGradients(*tensors[7:]))(*scalars)
        case "blend_forward":
            aten.blend_forward(BlendRun(*tensors))(*scalars)
        case "blend_backward":
            aten.blend_backward(BlendRun(*tensors[:6]), BlendGradients(*tensors[6:]))(*scalars)
        case "attention_forward":
            aten.attention_forward(AttentionRun(*tensors))(*scalars)
        case "attention_backward":
            aten.attention_backward(AttentionRun(*tensors[:7]), AttentionGradients(*tensors[7:]))(*scalars)
        case "attention_memory":
            tensors[2] = torch.einsum("tbs,tbm->bsm", tensors[0], tensors[1])
        case "cross_entropy":
            tensors[3], tensors[4] = aten.cross_entropy(*tensors[:3], *scalars)
    return tensors


@each(TRAINING)
@few
@given(seed=st.integers(0, 2**32), threads=st.sampled_from([1, 2]))
def test_training(function: Function, variant: str, seed: int, threads: int) -> None:
    given_arrays = RandomArrays(function, variant, np.random.default_rng(seed))
    tensors, scalars = [as_tensor(array) for array in given_arrays.arrays], given_arrays.scalars()
    expected = run_reference(function.name, widened(tensors), scalars)
    function(variant, tensors, *scalars, threads=threads)
    for parameter, found, wanted in zip(function.parameters, tensors, expected, strict=True):
        if found is not None and wanted is not None:
            assert parameter.role == "written" or torch.equal(widened([found])[0], wanted), parameter.name
            assert_close(found, wanted, TOLERANCE[variant])
    assert given_arrays.gaps_are_untouched()


def told_weights(packed_PQ: np.ndarray, outputs: int, inputs: int) -> torch.Tensor:
    return as_tensor(np.ascontiguousarray(products.unpack(packed_PQ, outputs, inputs)))


@pytest.mark.parametrize("kind", TOLERANCE)
@few
@given(seed=st.integers(0, 2**32), threads=st.sampled_from([1, 2]))
def test_the_product_of_a_position_equals_that_of_torch(kind: str, seed: int, threads: int) -> None:
    function = products.FUNCTIONS["multiply_at"]
    given_arrays = RandomArrays(function, kind, np.random.default_rng(seed))
    (rows, packed_PQ, found, addends), sizes = given_arrays.arrays, given_arrays.sizes
    weight, (t,) = told_weights(packed_PQ, sizes["N"], sizes["K"]), given_arrays.scalars()
    expected = widened([as_tensor(found)])[0]
    aten.multiply(*widened([weight, as_tensor(rows)]), expected, *widened([as_tensor(addends)]))(t)
    function(kind, given_arrays.arrays, t, threads=threads)
    difference = (as_tensor(found).float() - expected).abs()
    assert (difference <= TOLERANCE[kind] * (1 + expected.abs())).all()
    assert given_arrays.gaps_are_untouched()


@pytest.mark.parametrize("kind", TOLERANCE)
@few
@given(seed=st.integers(0, 2**32), name=st.sampled_from(["pack", "pack_transposed"]), threads=st.sampled_from([1, 2]))
def test_weights_are_packed_as_by_numpy(kind: str, seed: int, name: str, threads: int) -> None:
    given_arrays = RandomArrays(products.FUNCTIONS[name], kind, np.random.default_rng(seed))
    weights, packed_PQ = given_arrays.arrays
    products.FUNCTIONS[name](kind, [weights, packed_PQ], threads=threads)
    assert np.array_equal(packed_PQ, products.pack(weights if name == "pack" else weights.T))
    assert given_arrays.gaps_are_untouched()


@few
@given(seed=st.integers(0, 2**32), threads=st.sampled_from([1, 2]))
def test_numbers_are_transposed(seed: int, threads: int) -> None:
    given_arrays = RandomArrays(products.FUNCTIONS["transpose"], "bfloat16", np.random.default_rng(seed))
    numbers, transposed = given_arrays.arrays
    products.FUNCTIONS["transpose"]("bfloat16", [numbers, transposed], threads=threads)
    assert np.array_equal(transposed, numbers.T)
    assert given_arrays.gaps_are_untouched()


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rows", [0, 1, 16, 17, 70])
@pytest.mark.parametrize("is_transposed", [False, True])
def test_factors_and_outer_products_equal_those_of_torch(monkeypatch, kind, rows: int, is_transposed: bool) -> None:
    """Of rows that lie apart, weights of either order, and addends that are the same in each row."""
    monkeypatch.setattr(native, "multiplies", lambda kind: True)
    torch.manual_seed(1)
    tolerance = TOLERANCE[str(kind).partition(".")[2]]
    weight = torch.randn(70, 37, dtype=kind) if not is_transposed else torch.randn(37, 70, dtype=kind).t()
    first, second = torch.randn(rows, 50, dtype=kind)[:, 5:42], torch.randn(rows, 70, dtype=kind)
    for addends in (None, torch.randn(70, dtype=kind).expand(rows, -1), second):
        found, expected = (passes.factor(weight)(first, addends) for passes in (native, aten))
        assert_close(found, expected, tolerance)
    assert_close(native.outer(first, second), aten.outer(first, second), tolerance)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("kept", [1, 3])
def test_the_pass_that_multiplies_equals_that_of_torch(monkeypatch, kind, is_transposed: bool, kept: int) -> None:
    """As the recurrences call it: weights of either order, one place for all products or one for each, expanded
    addends."""
    monkeypatch.setattr(native, "multiplies", lambda kind: True)
    torch.manual_seed(1)
    weight = torch.randn(70, 37, dtype=kind) if not is_transposed else torch.randn(37, 70, dtype=kind).t()
    rows, addends = torch.randn(3, 11, 37, dtype=kind), torch.randn(70, dtype=kind).expand(3, 11, -1)
    for further in ((), (addends,)):
        found, expected = torch.empty(2, kept, 11, 70, dtype=kind)
        for passes, out in ((native, found), (aten, expected)):
            multiply = passes.multiply(weight, rows, out, *further)
            for t in range(3):
                multiply(t)
        assert_close(found, expected, TOLERANCE[str(kind).partition(".")[2]])


def test_torch_multiplies_where_the_processor_has_no_instruction_for_it(monkeypatch) -> None:
    monkeypatch.setattr(native, "multiplies", lambda kind: False)
    monkeypatch.setattr(
        products.FUNCTIONS["multiply_at"], "bind", lambda *_, **__: pytest.fail("the library was asked")
    )
    weight, rows, found = torch.eye(3).bfloat16(), torch.randn(2, 4, 3).bfloat16(), torch.zeros(2, 4, 3).bfloat16()
    native.run([native.multiply(weight, rows, found)], range(1, 2))
    assert torch.equal(found[1], rows[1]) and not found[0].any()
    assert torch.equal(native.factor(weight)(rows[0]), rows[0])
    assert torch.equal(native.outer(weight, rows[0, :3]), rows[0, :3])
