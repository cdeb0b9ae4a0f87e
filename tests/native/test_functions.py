"""Each function of the C library computes what its reference in PyTorch does, over odd sizes and strides."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_arrays import RandomArrays

from s2s_cli.model.decoding import mean_probability
from s2s_cli.model.engine.arithmetic import Operand, Product
from s2s_cli.model.engine.passes import REFERENCES
from s2s_cli.model.kernels import aten
from s2s_cli.model.kernels.passes import (
    AttentionGradients,
    AttentionRun,
    BlendGradients,
    BlendRun,
    GRUGradients,
    GRURun,
)
from s2s_cli.native import decoding, training
from s2s_cli.native.calls import Function

TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2, "int8": 1e-3}
TRAINING = [(function, variant) for function in training.FUNCTIONS.values() for variant in function.kinds]
DECODING = [(function, variant) for function in decoding.FUNCTIONS.values() for variant in function.kinds]
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


def grouped(
    function: Function, tensors: list[torch.Tensor | list | None]
) -> Iterator[torch.Tensor | Product | Operand | list | None]:
    """As passes take them: the three arrays of a product as one, and the two of an operand; or lists of products."""
    waiting = list(zip(function.parameters, tensors, strict=True))
    while waiting:
        parameter, tensor = waiting.pop(0)
        if parameter.kind == "product" and parameter.each:
            scales = [waiting.pop(0)[1] or [None] * len(tensor) for _ in range(2)]
            yield [Product(*each) for each in zip(tensor, *scales, strict=True)]
        elif parameter.kind == "product":
            yield Product(tensor, waiting.pop(0)[1], waiting.pop(0)[1])
        elif parameter.kind == "operand":
            yield Operand(tensor, waiting.pop(0)[1])
        else:
            yield tensor


@each(DECODING)
@few
@given(seed=st.integers(0, 2**32), threads=st.sampled_from([1, 2]))
def test_decoding(function: Function, variant: str, seed: int, threads: int) -> None:
    given_arrays = RandomArrays(function, variant, np.random.default_rng(seed))
    tensors, scalars = [as_tensor(array) for array in given_arrays.arrays], given_arrays.scalars()
    copies = copy.deepcopy(tensors)
    REFERENCES[function.name](*grouped(function, copies), *scalars)
    function(variant, tensors, *scalars, threads=threads)
    for found, wanted in zip(grouped(function, tensors), grouped(function, copies), strict=True):
        if isinstance(found, Operand) and found.scales_R is not None and found.values_RN.numel():
            close = (found.numbers() - wanted.numbers()).abs() <= 1.01 * wanted.scales_R[:, None] + 1e-5
            assert close.all()  # a number in the middle may be rounded either way
        elif isinstance(found, torch.Tensor) and found.dtype != torch.int64:
            assert_close(found, wanted, TOLERANCE[variant])
        elif isinstance(found, Operand):
            assert_close(found.values_RN, wanted.values_RN, TOLERANCE[variant])
    assert given_arrays.gaps_are_untouched()


def test_means_of_probabilities_that_no_float_holds_are_ranked() -> None:
    """Their logarithms are: e^-200 stands before e^-300, and what is impossible to all members comes last."""
    logits_ERV = torch.full((3, 2, 150), -torch.inf)
    logits_ERV[:, :, 7] = 0.0
    logits_ERV[0, :, [149, 70]] = torch.tensor([-300.0, -200.0])
    logits_ERV[1, :, [149, 3]] = torch.tensor([-300.0, -250.0])
    log_probs_RC, best_RC, ends_R = torch.empty(2, 5), torch.empty(2, 5, dtype=torch.int64), torch.empty(2)
    found, bias = [log_probs_RC, best_RC, ends_R], [torch.zeros(150)] * 3
    decoding.FUNCTIONS["rank_mean"]("float32", [list(logits_ERV), None, None, bias, *found], 2, 149, threads=1)
    thirds = torch.tensor([3.0, 1.0, 1.0, 2.0]).log() - np.log(3)
    expected = torch.tensor([0.0, -200.0, -250.0, -300.0]) + thirds
    assert best_RC[:, :4].tolist() == [[7, 70, 3, 149]] * 2
    assert_close(log_probs_RC, torch.cat([expected, torch.tensor([-torch.inf])]).expand(2, 5), 1e-6)
    assert_close(ends_R, expected[3].expand(2), 1e-6)


@each([case for case in DECODING if case[0].name.startswith("rank")])
@few
@given(seed=st.integers(0, 2**32))
def test_the_best_symbols_are_those_whose_probabilities_are_told(function: Function, variant: str, seed: int) -> None:
    given_arrays = RandomArrays(function, variant, np.random.default_rng(seed))
    scalars = given_arrays.scalars()
    function(variant, given_arrays.arrays, *scalars, threads=1)
    arguments = list(grouped(function, [as_tensor(array) for array in given_arrays.arrays]))
    log_probs_RC, best_RC, _ = arguments[-3:]
    if function.name == "rank_mean":
        pairs = zip(*arguments[:2], strict=True)
        logits_RN = mean_probability([(logits.numbers() + bias).log_softmax(1) for logits, bias in pairs])
        sizes_R = torch.full((len(logits_RN),), logits_RN.size(1))
    elif function.name == "rank":
        logits_RN = arguments[0].numbers() + arguments[1]
        sizes_R = torch.full((len(logits_RN),), logits_RN.size(1))
    else:
        logits_RN, sentences_b, counts_B = arguments[0].clone(), arguments[1], arguments[2]
        sizes_R = counts_B[sentences_b].repeat_interleave(len(logits_RN) // max(1, len(sentences_b)))
        logits_RN[torch.arange(logits_RN.size(1)) >= sizes_R[:, None]] = -torch.inf
    for row in range(len(logits_RN)):
        count = min(log_probs_RC.size(1), max(0, int(sizes_R[row]) - scalars[0]))
        assert (log_probs_RC[row, count:] == -torch.inf).all()
        found = best_RC[row, :count]
        assert len(set(found.tolist())) == count and (found >= scalars[0]).all()
        assert_close(logits_RN[row].log_softmax(0)[found], log_probs_RC[row, :count], 1e-3)
