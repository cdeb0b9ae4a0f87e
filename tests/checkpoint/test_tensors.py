from __future__ import annotations

import json
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from s2s_cli.checkpoint.tensors import _DTYPES, decode_tensors, encode_tensors
from s2s_cli.errors import CheckpointError

VALID = b"".join(encode_tensors({"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(5, dtype=torch.uint8)}))


def encode(tensors: dict[str, torch.Tensor]) -> bytes:
    return b"".join(bytes(chunk) for chunk in encode_tensors(tensors))


def container(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def refusal(data: bytes) -> str:
    with pytest.raises(CheckpointError) as caught:
        decode_tensors(data, "weights.safetensors")
    message = str(caught.value)
    assert message.startswith("weights.safetensors: ") and message.isprintable() and len(message) < 400
    return message


@st.composite
def tensor(draw) -> torch.Tensor:
    """Any number type, any bits (NaN included), any shape, contiguous or not."""
    dtype = draw(st.sampled_from(list(_DTYPES)))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    size = torch.Size(shape).numel() * torch.empty(0, dtype=dtype).element_size()
    raw = draw(st.binary(min_size=size, max_size=size))
    if dtype == torch.bool:
        raw = bytes(byte & 1 for byte in raw)
    flat = torch.frombuffer(bytearray(raw), dtype=dtype) if size else torch.empty(0, dtype=dtype)
    whole = flat.reshape(shape)
    return whole.t() if len(shape) == 2 and draw(st.booleans()) else whole


def bits(tensor: torch.Tensor) -> tuple:
    return tensor.dtype, tensor.shape, tensor.contiguous().reshape(-1).view(torch.uint8).tolist()


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), tensor(), max_size=4))
def test_every_bit_survives_and_the_reference_reads_it(tensors):
    tensors.pop("__metadata__", None)
    data = encode(tensors)
    expected = {name: bits(value) for name, value in tensors.items()}
    assert {name: bits(value) for name, value in decode_tensors(data, "").items()} == expected
    assert {name: bits(value) for name, value in load(data).items()} == expected


def test_files_of_the_reference_are_read():
    tensors = {"x": torch.randn(3, 4), "y": torch.randn(7).bfloat16()}
    found = decode_tensors(save(tensors, metadata={"format": "pt"}), "")
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_shared_memory_survives_under_every_name():
    table = torch.randn(4, 6)
    shared = {"embedding": table, "output": table, "row": table[1], "columns": table[:, 2:4], "turned": table.t()}
    found = decode_tensors(encode(shared), "")
    assert all(torch.equal(found[name], shared[name]) for name in shared)
    found["embedding"].zero_()
    assert torch.equal(found["output"], table)


def test_parameters_and_expanded_and_conjugate_tensors_are_saved():
    tensors = {
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "expanded": torch.randn(3, 1).expand(3, 5),
        "conjugate": torch.randn(3, dtype=torch.complex64).conj(),
    }
    found = decode_tensors(encode(tensors), "")
    assert all(torch.equal(found[name], tensors[name].detach()) for name in tensors)


@pytest.mark.parametrize("bad", [torch.zeros(2, dtype=torch.complex128), torch.eye(2).to_sparse()])
def test_what_the_format_cannot_hold_is_said_with_its_name(bad):
    with pytest.raises(TypeError, match="culprit"):
        encode({"culprit": bad})


def test_a_pickle_is_refused_and_never_executed(tmp_path):
    class Hostile:
        def __reduce__(self):
            return open, (str(tmp_path / "executed"), "w")

    torch.save({"a": torch.zeros(2)}, tmp_path / "zip")
    for data in (pickle.dumps(Hostile()), pickle.dumps(Hostile(), 0), (tmp_path / "zip").read_bytes()):
        assert "is not a safetensors file" in refusal(data)
    assert not (tmp_path / "executed").exists()


A = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        b"\xff" * 100,
        (2**63).to_bytes(8, "little") + b"{}",
        container(b"{" + b" " * (17 * 2**20) + b"}"),
        container(b"{" * 100_000),
        container([]),
        container({"a": A}, bytes(7)),
        container({"a": A}, bytes(9)),
        container({"a": A | {"shape": [3]}}, bytes(8)),
        container({"a": A | {"shape": [-2]}}, bytes(8)),
        container({"a": A | {"shape": [2**62, 2**62]}}, bytes(8)),
        container({"a": A | {"dtype": "F33"}}, bytes(8)),
        container({"a": A | {"data_offsets": [8, 0]}}, bytes(8)),
        container({"a": A | {"data_offsets": [0, 2**63]}}, bytes(8)),
        container({"a": A, "b": A}, bytes(8)),
        container({"a": A, "b": A | {"data_offsets": [12, 20]}}, bytes(20)),
        VALID + b"\0",
        VALID[:-1],
        VALID[:20],
    ],
)
def test_bad_files_are_one_sentence(data):
    assert "safetensors file" in refusal(data) or "header of" in refusal(data)


@given(st.binary(max_size=200), st.integers(0, len(VALID)), st.integers(0, len(VALID)))
@settings(max_examples=300)
def test_no_bytes_do_anything_else_than_be_read_or_refused(junk, start, end):
    for data in (junk, VALID[:start] + junk + VALID[end:]):
        try:
            found = decode_tensors(data, "")
        except CheckpointError:
            continue
        assert sum(tensor.nbytes for tensor in found.values()) < len(data)
