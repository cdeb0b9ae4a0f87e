"""Files of arrays: they are safetensors, lie in lines of the cache, and nothing else than such a file is read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from s2s_cli.checkpoint.arrays import LINE, check_shapes, decode_arrays, encode_arrays, floats
from s2s_cli.errors import CheckpointError

ARRAYS = {
    "packed": np.arange(4 * LINE, dtype=np.uint8).reshape(4, LINE),
    "odd": np.arange(7, dtype=np.int8),
    "table": np.arange(2 * LINE, dtype=np.uint16).reshape(2, LINE),
    "scales": np.linspace(0, 1, 5, dtype=np.float32),
    "symbols": np.arange(3, dtype=np.int64),
    "empty": np.zeros((0, 3), np.float32),
}


def encoded(arrays: dict[str, np.ndarray], **facts: str) -> bytes:
    return b"".join(bytes(chunk) for chunk in encode_arrays(arrays, facts))


def test_arrays_and_facts_come_back() -> None:
    arrays, facts = decode_arrays(encoded(ARRAYS, format="1"), "a file")
    assert facts == {"format": "1"} and arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and np.array_equal(arrays[name], array)


def test_the_public_library_reads_and_writes_the_same() -> None:
    known = {name: array for name, array in ARRAYS.items() if array.dtype != np.uint16}  # it has no bfloat16 in NumPy
    assert all(np.array_equal(array, known[name]) for name, array in load(encoded(known)).items())
    assert all(np.array_equal(array, known[name]) for name, array in decode_arrays(save(known), "")[0].items())


def test_whole_lines_come_first_and_begin_at_a_line() -> None:
    data = encoded(ARRAYS, format="1")
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert (8 + length) % LINE == 0
    for name, array in ARRAYS.items():
        start, _ = header[name]["data_offsets"]
        assert start % (LINE if array.nbytes % LINE == 0 else array.itemsize) == 0, name


def test_numbers_that_another_program_put_anywhere_are_aligned() -> None:
    header = json.dumps({"odd": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * (len(header) % 4 == 0)
    numbers = np.array([1.5, -2], np.float32)
    arrays, _ = decode_arrays(len(header).to_bytes(8, "little") + header + numbers.tobytes(), "a file")
    assert arrays["odd"].flags.aligned and np.array_equal(arrays["odd"], numbers)


def forged(change) -> bytes:
    data = encoded(ARRAYS)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    text = json.dumps(change(header) or header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        (2**60).to_bytes(8, "little") + b"{}",
        encoded(ARRAYS)[:-1],
        (4).to_bytes(8, "little") + b"\xff\xff\xff\xff",
        (4).to_bytes(8, "little") + b"[[]]",
        b"".join([(100_000).to_bytes(8, "little"), b"[" * 100_000]),
        forged(lambda header: header["odd"].update(dtype="F8_E4M3")),
        forged(lambda header: header["odd"].update(shape=[8])),
        forged(lambda header: header["odd"].update(shape=[-1, -7])),
        forged(lambda header: header["odd"].update(data_offsets=[-7, 0])),
        forged(lambda header: header["odd"].update(data_offsets=[0.0, 7])),
        forged(lambda header: header["odd"].update(data_offsets=[10**9, 10**9 + 7])),
        forged(lambda header: header["odd"].update(more=1)),
        forged(lambda header: header.update(odd=3)),
        forged(lambda header: header.update(__metadata__=[])),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match="safetensors"):
        decode_arrays(data, "a file")


def test_weights_of_any_precision_become_float32() -> None:
    for array in (np.float16([1.5]), np.float64([1.5]), np.float32([1.5]), np.uint16([0x3FC0])):
        assert floats(array).dtype == np.float32 and floats(array) == [1.5]


def test_names_and_shapes_are_compared_with_the_model() -> None:
    model = {"a": (2, 3), "b": (4,)}
    check_shapes({"a": np.zeros((2, 3)), "b": np.zeros(4)}, model, "w")
    for found, fault in [
        ({"a": np.zeros((2, 3))}, "has no tensor 'b'"),
        ({"a": np.zeros((2, 3)), "b": np.zeros(4), "c": np.zeros(1)}, "has a tensor 'c'"),
        ({"a": np.zeros((3, 2)), "b": np.zeros(4)}, "tensor 'a' has the shape [3, 2], the model needs [2, 3]"),
    ]:
        with pytest.raises(CheckpointError) as caught:
            check_shapes(found, model, "w")
        assert fault in str(caught.value)
