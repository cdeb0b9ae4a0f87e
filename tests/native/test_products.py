"""Products of packed weights are those of NumPy: exact in 8 bits, and a row is the same in any batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from s2s_cli.native import products
from s2s_cli.native.calls import ArrayError

SIZES = [(1, 1), (3, 31), (4, 32), (30, 65), (64, 96), (67, 129), (256, 300)]  # inputs and outputs
each_size = pytest.mark.parametrize(("inputs", "outputs"), SIZES, ids=str)


def product(rows_RK: np.ndarray, packed_PQ: np.ndarray, outputs: int, threads: int = 1) -> np.ndarray:
    kind = np.int32 if rows_RK.dtype == np.int8 else np.float32
    products_RN = np.full((len(rows_RK), outputs), 77, kind)
    products.multiply(rows_RK, packed_PQ, products_RN, threads=threads)
    return products_RN


def random_bytes(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.integers(-128, 128, shape).astype(np.int8)


def random_floats(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.standard_normal(shape).astype(np.float32)


@each_size
@pytest.mark.parametrize("threads", [1, 2])
def test_8_bits_are_exact(inputs: int, outputs: int, threads: int) -> None:
    random = np.random.default_rng(0)
    weights_NK = random_bytes(random, outputs, inputs)
    packed_PQ = products.pack(weights_NK)
    for count in (0, 1, 2, 3, 4, 5, 7, 12, 13, 25, 64):
        rows_RK = random_bytes(random, count, inputs)
        found = product(rows_RK, packed_PQ, outputs, threads)
        assert np.array_equal(found, products.multiply_reference(rows_RK, weights_NK)), count


@pytest.mark.parametrize("row", [-128, -127, 127])
@pytest.mark.parametrize("weight", [-128, -127, 127])
def test_the_greatest_sums_are_exact(row: int, weight: int) -> None:
    inputs = 4098
    packed_PQ = products.pack(np.full((33, inputs), weight, np.int8))
    assert (product(np.full((6, inputs), row, np.int8), packed_PQ, 33) == row * weight * inputs).all()


@each_size
def test_floats_are_close_and_a_row_does_not_depend_on_the_others(inputs: int, outputs: int) -> None:
    random = np.random.default_rng(1)
    weights_NK, rows_RK = random_floats(random, outputs, inputs), random_floats(random, 40, inputs)
    packed_PQ = products.pack(weights_NK)
    together = product(rows_RK, packed_PQ, outputs, threads=2)
    np.testing.assert_allclose(together, products.multiply_reference(rows_RK, weights_NK), rtol=1e-4, atol=1e-4)
    for count in range(1, 26):
        assert np.array_equal(product(rows_RK[:count], packed_PQ, outputs), together[:count])


@pytest.mark.parametrize("make", [random_bytes, random_floats])
def test_rows_may_lie_apart_and_weights_in_a_file(make, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    weights_NK, rows_RK = make(random, 70, 50), make(random, 9, 50)
    packed_PQ = products.pack(weights_NK)
    assert packed_PQ.ctypes.data % 64 == 0
    (tmp_path / "packed").write_bytes(bytes(64) + packed_PQ.tobytes())
    mapped_PQ = np.memmap(tmp_path / "packed", packed_PQ.dtype, "r", offset=64, shape=packed_PQ.shape)
    wide_RK = make(random, 9, 99)
    wide_RK[:, 3:53] = rows_RK
    room_RN = np.full((9, 80), 77, np.int32 if make is random_bytes else np.float32)
    products.multiply(wide_RK[:, 3:53], mapped_PQ, room_RN[:, 5:75], threads=1)
    assert np.array_equal(room_RN[:, 5:75], product(rows_RK, packed_PQ, 70))
    assert (room_RN[:, :5] == 77).all() and (room_RN[:, 75:] == 77).all()


def test_packed_weights_must_be_those_of_the_rows_and_the_products() -> None:
    packed_PQ = products.pack(np.zeros((64, 32), np.int8))
    for inputs, outputs in [(28, 64), (36, 64), (32, 32), (32, 65)]:
        with pytest.raises(ArrayError, match="multiply: [PQ] is"):
            product(np.zeros((2, inputs), np.int8), packed_PQ, outputs)
