"""Each function of the engine computes what its reference in NumPy does, over odd sizes and strides."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_arrays import RandomArrays

from s2s_cli.engine.arithmetic import Operand, from_table
from s2s_cli.engine.passes import REFERENCES, Matrix, log_softmax
from s2s_cli.native import engine
from s2s_cli.native.calls import Function
from s2s_cli.search.step_model import mean_probability

CASES = [(function, variant) for function in engine.FUNCTIONS.values() for variant in function.kinds]
TOLERANCE = {"float32": 1e-4, "int8": 2e-2}  # where a number lies in the middle, it may be rounded either way
few = settings(max_examples=25, deadline=None, derandomize=True)


def each(cases: list[tuple[Function, str]]):
    names = [f"{function.name} {variant}" for function, variant in cases]
    return pytest.mark.parametrize(("function", "variant"), cases, ids=names)


def grouped(function: Function, arrays: list) -> Iterator[object]:
    """As references take them: the two arrays of an operand and of a matrix as one."""
    waiting = list(zip(function.parameters, arrays, strict=True))
    groups: dict[str, tuple[type, int]] = {} if function.name == "gather" else {"operand": (Operand, 2)}
    if function.name in ("read", "hold", "begin", "step"):
        groups |= {"packed": (Matrix, 2), "first packed": (Matrix, 2)}
    while waiting:
        kind, size = groups.get(waiting[0][0].kind, (None, 1))
        taken, waiting = [array for _, array in waiting[:size]], waiting[size:]
        yield taken[0] if kind is None else kind(*taken)


def as_numbers(argument: object) -> np.ndarray | None:
    """What a function wrote, as float32."""
    if isinstance(argument, Operand):
        scales = argument.scales_R
        return argument.values_RN if scales is None else argument.values_RN * scales[..., None]
    return from_table(argument) if isinstance(argument, np.ndarray) else None


@each(CASES)
@few
@given(seed=st.integers(0, 2**32), threads=st.sampled_from([1, 2]))
def test_it_computes_what_its_reference_does(function: Function, variant: str, seed: int, threads: int) -> None:
    found = RandomArrays(function, variant, np.random.default_rng(seed), most=40)
    scalars, copies = found.scalars(), copy.deepcopy(found.arrays)
    REFERENCES[function.name](*grouped(function, copies), *scalars)
    function(variant, found.arrays, *scalars, threads=threads)
    tolerance = TOLERANCE["int8" if variant.endswith("int8") else "float32"]
    pairs = zip(grouped(function, found.arrays), grouped(function, copies), strict=True)
    for one, other in pairs:
        if isinstance(one, np.ndarray) and one.dtype == np.int64:
            continue  # equal logits may stand in any order
        if (numbers := as_numbers(one)) is not None:
            expected = as_numbers(other)
            np.testing.assert_allclose(numbers, expected, rtol=tolerance, atol=tolerance)
    assert found.gaps_are_untouched()


@each([case for case in CASES if case[0].name.startswith("rank")])
@few
@given(seed=st.integers(0, 2**32))
def test_the_best_symbols_are_those_whose_probabilities_are_told(function: Function, variant: str, seed: int) -> None:
    found = RandomArrays(function, variant, np.random.default_rng(seed))
    scalars = found.scalars()
    function(variant, found.arrays, *scalars, threads=1)
    *arguments, log_probs_RC, best_RC, _ = grouped(function, found.arrays)
    if function.name == "rank_mean":
        log_probs_RV = mean_probability([log_softmax(logits_RV) for logits_RV in arguments[0]])
    else:
        logits_RV = np.empty((len(best_RC), found.sizes["V"]), np.float32)
        REFERENCES["project"](*arguments, logits_RV)
        log_probs_RV = log_softmax(logits_RV)
    for row_V, log_probs_C, best_C in zip(log_probs_RV, log_probs_RC, best_RC, strict=True):
        count = min(len(best_C), max(0, len(row_V) - scalars[0]))
        assert (log_probs_C[count:] == -np.inf).all()
        assert len(set(best_C[:count].tolist())) == count and (best_C >= scalars[0]).all()
        np.testing.assert_allclose(row_V[best_C[:count]], log_probs_C[:count], rtol=1e-3, atol=1e-3)


def test_means_of_probabilities_that_no_float_holds_are_ranked() -> None:
    """Their logarithms are: e^-200 stands before e^-300, and what is impossible to all members comes last."""
    logits_ERV = np.full((3, 2, 150), -np.inf, np.float32)
    logits_ERV[:, :, 7] = 0.0
    logits_ERV[0][:, [149, 70]] = [-300.0, -200.0]
    logits_ERV[1][:, [149, 3]] = [-300.0, -250.0]
    log_probs_RC, best_RC, ends_R = np.empty((2, 5), np.float32), np.empty((2, 5), np.int64), np.empty(2, np.float32)
    found = [log_probs_RC, best_RC, ends_R]
    engine.FUNCTIONS["rank_mean"]("float32", [list(logits_ERV), *found], 2, 149, threads=1)
    expected = np.array([0.0, -200.0, -250.0, -300.0]) + np.log([1, 1 / 3, 1 / 3, 2 / 3])
    assert best_RC[:, :4].tolist() == [[7, 70, 3, 149]] * 2
    np.testing.assert_allclose(log_probs_RC, [[*expected, -np.inf]] * 2, atol=1e-4)
    np.testing.assert_allclose(ends_R, [expected[3]] * 2, atol=1e-4)


def test_held_arrays_are_as_good_as_all_at_once() -> None:
    function = engine.FUNCTIONS["rank"]
    found = RandomArrays(function, "int8", np.random.default_rng(2))
    function("int8", found.arrays, 1, 1, threads=1)
    expected = [array.copy() for array in found.arrays[-3:]]
    for array in found.arrays[-3:]:
        array[...] = 0
    held = function.hold("int8", found.arrays[:2]).hold(found.arrays[2:5])
    held(found.arrays[5:], 1, 1, threads=1)
    assert all(map(np.array_equal, found.arrays[-3:], expected))
