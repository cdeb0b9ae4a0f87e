"""Models with weights packed for the engine: these are read in place of the others, and make the same translations."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from s2s_cli.checkpoint.arrays import decode_arrays, encode_arrays
from s2s_cli.checkpoint.model_directory import PACKED, WEIGHTS
from s2s_cli.engine import Engine
from s2s_cli.errors import CheckpointError, UsageError
from s2s_cli.inference.translator import Translator
from s2s_cli.model.decoding import Decoding
from s2s_cli.sealed import MANIFEST
from s2s_cli.text.symbols import CharacterTokenizer
from s2s_cli.text.tokenizer import TokenizerPair

LETTERS = TokenizerPair(CharacterTokenizer("▁abcdefgh"), CharacterTokenizer("▁abcdefgh"))
LINES = ["abc", "h", "a b c d e f", "ggg"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, tools) -> Path:
    return tools.export(tmp_path_factory.mktemp("plain") / "model", ("fr", "en"), LETTERS)


@pytest.fixture
def model(tmp_path: Path, tools) -> Path:
    return tools.export(tmp_path / "model", ("fr", "en"), LETTERS, packed=True)


def engine_of(directory: Path, engine: str = "int8") -> Engine:
    found = Translator.load(directory, engine=engine, device="cpu").model
    assert isinstance(found, Engine)
    return found


def rewrite(directory: Path, name: str, data: bytes) -> None:
    """Change a file together with its manifest."""
    (directory / name).write_bytes(data)
    manifest = json.loads((directory / MANIFEST).read_text())
    manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (directory / MANIFEST).write_text(json.dumps(manifest))


def repacked(directory: Path, change=lambda arrays: None, form: str = "1") -> None:
    arrays, _ = decode_arrays((directory / PACKED).read_bytes(), "")
    change(arrays)
    rewrite(directory, PACKED, b"".join(map(bytes, encode_arrays(arrays, {"format": form}))))


def test_the_engine_is_the_same_bit_for_bit(plain: Path, model: Path) -> None:
    one, other = engine_of(plain).machine.arrays, engine_of(model).machine.arrays
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    told = [[each.text for each in Translator.load(path, engine="int8").translate(LINES)] for path in (plain, model)]
    assert told[0] == told[1]


def test_packed_weights_are_mapped_and_the_others_are_not_read(model: Path) -> None:
    rewrite(model, WEIGHTS, b"nothing that anybody could read")
    weights = engine_of(model).machine.arrays["output.weights"]
    assert not weights.flags.owndata and not weights.flags.writeable and weights.ctypes.data % 64 == 0
    with pytest.raises(CheckpointError, match=f"{WEIGHTS}: is not a"):
        engine_of(model, "fast")


def test_weights_packed_in_another_form_are_packed_anew(plain: Path, model: Path) -> None:
    repacked(model, lambda arrays: arrays.clear(), form="0")
    arrays = engine_of(model).machine.arrays
    assert all(np.array_equal(array, arrays[name]) for name, array in engine_of(plain).machine.arrays.items())


def test_damage_is_named(model: Path) -> None:
    repacked(model, lambda arrays: arrays.pop("energy"))
    with pytest.raises(CheckpointError, match=f"{PACKED}: has no array `energy`"):
        engine_of(model)
    data = bytearray((model / PACKED).read_bytes())
    data[-1] ^= 1
    (model / PACKED).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{PACKED}: is damaged: its SHA-256 differs"):
        engine_of(model)


def test_a_precision_that_has_no_effect_is_refused(plain: Path) -> None:
    with pytest.raises(UsageError, match="no effect: the engine computes in float32 or in 8 bits") as caught:
        Translator.load(plain, precision="bf16", device="cpu")
    assert caught.value.where == "--precision"
    assert not isinstance(Translator.load(plain, precision="fp32", engine="reference", device="cpu").model, Engine)


def test_pytorch_decodes_in_float32_whatever_the_processor_has(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s2s_cli.model.precision.has_native_bfloat16", lambda device: True)
    for precision, dtype in (("auto", torch.float32), ("bf16", torch.bfloat16)):
        found = Translator.load(plain, precision=precision, engine="reference", device="cpu").model
        assert isinstance(found, Decoding) and {each.dtype for each in found.model.parameters()} == {dtype}


@pytest.mark.parametrize("engine", ["int8", "fast"])
def test_the_engine_does_without_pytorch(model: Path, engine: str) -> None:
    program = (
        "import sys; from s2s_cli.inference.translator import Translator;"
        f"Translator.load({str(model)!r}, engine={engine!r}, device='cpu').translate(['abc']);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
