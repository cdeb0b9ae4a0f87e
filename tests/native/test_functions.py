"""Each function of training computes what its reference in PyTorch does, over odd sizes and strides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_arrays import RandomArrays

from s2s_cli.model.kernels import aten
from s2s_cli.model.kernels.passes import (
    AttentionGradients,
    AttentionRun,
    BlendGradients,
    BlendRun,
    GRUGradients,
    GRURun,
)
from s2s_cli.native import training
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
