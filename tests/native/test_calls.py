"""What a C function is never handed: arrays of another type, shape or layout, and numbers that point elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch
from random_arrays import RandomArrays

from s2s_cli.native import calls, compiling, engine, products, training
from s2s_cli.native.calls import ArrayError, Function

FUNCTIONS = [*training.FUNCTIONS.values(), *engine.FUNCTIONS.values(), *products.FUNCTIONS.values()]
each_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)


def arguments(function: Function) -> RandomArrays:
    """Of which no dimension is empty or 1."""
    seeds = (RandomArrays(function, kind_of(function), np.random.default_rng(seed)) for seed in range(1000))
    return next(found for found in seeds if min(found.sizes.values()) > 1)


def kind_of(function: Function) -> str:
    return "float32" if "float32" in function.kinds else next(iter(function.kinds))


def call(function: Function, found: RandomArrays) -> None:
    function(kind_of(function), found.arrays, *found.scalars(), threads=1)


SPOIL: dict[str, Callable[[np.ndarray], object]] = {
    "another type": lambda array: array.astype(np.float64),
    "another shape": lambda array: np.concatenate([array, array]),
    "fewer dimensions": lambda array: array.reshape(-1) if array.ndim > 1 else array[0],
    "nothing": lambda array: None,
    "more dimensions": lambda array: array[None],
    "on no processor": lambda array: torch.empty(array.shape, device="meta"),
}


@each_function
@pytest.mark.parametrize("spoil", SPOIL.values(), ids=SPOIL.keys())
def test_each_array_must_be_as_declared(function: Function, spoil: Callable) -> None:
    for place, parameter in enumerate(function.parameters):
        found = arguments(function)
        whole, letter = found.arrays[place], parameter.dimensions[0]
        whole = whole[-1] if isinstance(whole, list) else whole
        given = zip(function.parameters, found.arrays, strict=True)
        told_once = sum(letter in other.dimensions for other, array in given if array is not None) == 1
        if whole is None or (parameter.optional and spoil(whole) is None):
            continue
        if told_once and spoil is SPOIL["another shape"]:  # a table may have any number of rows
            continue
        found.arrays[place] = [*found.arrays[place][:-1], spoil(whole)] if parameter.each else spoil(whole)
        with pytest.raises(ArrayError, match=f"{function.name}: "):
            call(function, found)


@each_function
def test_what_is_written_must_lie_in_rows_that_do_not_overlap(function: Function) -> None:
    for place, parameter in enumerate(function.parameters):
        found = arguments(function)
        array = found.arrays[place]
        if parameter.role == "read" or array is None:
            continue
        apart = np.repeat(array, 2, axis=-1)[..., ::2]
        expanded, sealed = np.broadcast_to(array[:1], array.shape).copy(), array.copy()
        expanded = np.lib.stride_tricks.as_strided(expanded, strides=(0, *expanded.strides[1:]))
        sealed.flags.writeable = False
        spoiled = [apart, *([expanded, sealed] if parameter.role == "written" else [])]
        for one in spoiled:
            found.arrays[place] = one
            with pytest.raises(ArrayError, match=parameter.name):
                call(function, found)


@each_function
def test_indices_must_lie_within_what_they_point_to(function: Function) -> None:
    for place, parameter in enumerate(function.parameters):
        if parameter.limits is None:
            continue
        for number in (parameter.limits[0] - 1, 10**6):
            found = arguments(function)
            array = found.arrays[place]
            assert array is not None
            array.flat[-1] = number
            with pytest.raises(ArrayError, match=f"{parameter.name}: its numbers must lie between"):
                call(function, found)


@each_function
def test_as_many_as_declared(function: Function) -> None:
    """C reads its whole record, however long it is."""
    found = arguments(function)
    for arrays in (found.arrays[:-1], [*found.arrays, found.arrays[-1]]):
        with pytest.raises(ArrayError, match=f"{function.name}: arrays are {len(arrays)}, not"):
            function(kind_of(function), arrays, *found.scalars(), threads=1)


@pytest.mark.parametrize("lists", [[], None])
def test_lists_of_arrays_are_not_empty(lists: list[int] | None) -> None:
    rank_mean, found = engine.FUNCTIONS["rank_mean"], arguments(engine.FUNCTIONS["rank_mean"])
    found.arrays[0] = None if lists is None else [found.arrays[0][0] for _ in lists]
    with pytest.raises(ArrayError, match="rank_mean: logits_RV: its"):
        rank_mean("float32", found.arrays, 0, 0, threads=1)


@pytest.mark.parametrize("position", [-1, 10**6])
def test_positions_and_symbols_too(position: int) -> None:
    for name in ("gru_forward", "attention_backward"):
        found = arguments(training.FUNCTIONS[name])
        with pytest.raises(ArrayError, match="is no index of"):
            training.FUNCTIONS[name]("float32", found.arrays, position, threads=1)
    found = arguments(engine.FUNCTIONS["rank"])
    with pytest.raises(ArrayError, match="is no index of"):
        engine.FUNCTIONS["rank"]("float32", found.arrays, 0, position, threads=1)


@pytest.mark.parametrize("threads", [0, -1, 1 << 32, (1 << 32) + 1])
def test_and_threads(threads: int) -> None:
    """Of a number that C cannot hold it sees another one; of less than one thread, nothing is computed."""
    found = arguments(products.FUNCTIONS["multiply"])
    with pytest.raises(ArrayError, match="multiply: threads are"):
        products.FUNCTIONS["multiply"]("float32", found.arrays, *found.scalars(), threads=threads)


def test_a_column_that_is_read_is_copied_and_tensors_are_as_good_as_arrays() -> None:
    """The fault that there was: a column of a matrix, read as if its numbers lay side by side."""
    begin = engine.FUNCTIONS["begin"]
    found = arguments(begin)
    begin("float32", found.arrays, threads=1)
    place, expected = [parameter.name for parameter in begin.parameters].index("bias_H"), found.arrays[-1].copy()
    bias_H2 = np.stack([np.zeros_like(found.arrays[place]), found.arrays[place]], axis=1)
    for bias_H in (bias_H2[:, 1], bias_H2[:, 1].copy(), torch.from_numpy(bias_H2)[:, 1]):
        found.arrays[place], found.arrays[-1][...] = bias_H, 0
        begin("float32", found.arrays, threads=1)
        assert np.array_equal(found.arrays[-1], expected)


def test_a_bound_call_goes_on_with_the_arrays_that_it_was_bound_to() -> None:
    gru = training.FUNCTIONS["gru_forward"]
    T, B, H = 3, 2, 4
    zeros = [torch.zeros(T, B, 3 * H), torch.zeros(T, B, 3 * H), torch.zeros(3 * H), None, torch.zeros(T, B, H)]
    following_TBH, carry_BH = torch.full((T, B, H), torch.nan), torch.ones(B, H)
    advance = gru.bind("float32", [*zeros, following_TBH, carry_BH], threads=1)
    for t in range(T):
        advance(t)  # all gates are 1/2, and so the state is halved
    assert torch.equal(following_TBH, torch.tensor([0.5, 0.25, 0.125])[:, None, None].expand(T, B, H))


def test_calls_along_a_sequence_are_made_position_by_position() -> None:
    """As one by one, in either direction; a position that does not exist is found before the first one."""
    multiply = products.FUNCTIONS["multiply_at"]
    weights_KK, first = products.pack(np.full((3, 3), 2, np.float32)), np.ones((1, 3), np.float32)
    for positions in (range(4), range(3, -1, -1), range(0)):
        states_XRK = np.zeros((5, 1, 3), np.float32)
        order = slice(None) if positions.step > 0 else slice(None, None, -1)
        before, after = (states_XRK[:-1], states_XRK[1:]) if positions.step > 0 else (states_XRK[1:], states_XRK[:-1])
        states_XRK[order][0] = first
        calls.call_along([multiply.bind("float32", [before, weights_KK, after, None], threads=1)], positions)
        expected = [6.0**t if t <= len(positions) else 0.0 for t in range(5)]
        assert states_XRK[order, 0, 0].tolist() == expected
    with pytest.raises(ArrayError, match="multiply_at: 4 is no index of 4"):
        calls.call_along([multiply.bind("float32", [before, weights_KK, after, None], threads=1)], range(5))
    pack = products.FUNCTIONS["pack"].bind("float32", [np.ones((3, 3), np.float32), weights_KK], threads=1)
    with pytest.raises(ArrayError, match="pack: no call of a position"):
        calls.call_along([pack], range(1))
    calls.call_along([], range(3))


def structs(source: str) -> dict[str, list[str]]:
    """The fields of each struct of a C file, with those of structs in it in their places."""
    found: dict[str, list[str]] = {}
    for body, name in re.findall(r"typedef struct \{([^}]*)\} (\w+);", source):
        fields: list[str] = []
        for kind, names in re.findall(r"(\w+) ([\w, ]+);", body):
            for field in names.split(", "):
                if kind in ("view", "int64_t"):
                    fields.append(field)
                elif kind in ("product", "operand", "matrix"):
                    stem, _, letters = field.rpartition("_")
                    scales = {
                        "product": [f"{stem}_row_scales_R", f"{stem}_column_scales_{letters[1:]}"],
                        "operand": [f"{stem}_scales_R"],
                        "matrix": [f"{stem}_scales"],
                    }
                    fields += [field, *scales[kind]]
                else:
                    fields += found.get(kind, [])
        found[name] = fields
    return found


@pytest.mark.parametrize(
    ("module", "files"),
    [
        (training, ["training.c"]),
        (engine, ["encoder.c", "step.c", "ranking.c"]),
        (products, ["products.h", "products.c"]),
    ],
    ids=["training", "engine", "products"],
)
def test_the_records_of_c_have_the_fields_that_are_declared(module, files: list[str]) -> None:
    source = "".join((compiling.SOURCES / name).read_text(encoding="utf-8") for name in files)
    records = structs(source)
    for function in module.FUNCTIONS.values():
        match = re.search(rf"(?:PASS\(|void ){function.name}(?:_##suffix|_b?float\d+|\b.*?)\(const (\w+) \*", source)
        assert match, function.name
        names = [re.sub("_scales_[A-Z]+$", "_scales", name) for name in records[match[1]]]
        declared = [re.sub("_scales_[A-Z]+$", "_scales", parameter.name) for parameter in function.parameters]
        assert names == [*function.sizes, *declared]


@each_function
def test_there_is_a_function_for_each_variant(function: Function) -> None:
    for variant in function.kinds:
        assert function.symbol(variant)


def test_every_number_type_is_known() -> None:
    kinds = {kind for function in FUNCTIONS for kinds in function.kinds.values() for kind in kinds.values()}
    assert kinds <= {*calls._KIND_OF.values(), calls.ABSENT}
