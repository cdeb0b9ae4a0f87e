"""What the engine reads: as it is packed of weights, so it is read from a file; and of which models at all."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pytest
from fitting_models import MEMBERS, form, model, section, weights

from s2s_cli.checkpoint.arrays import decode_arrays, encode_arrays
from s2s_cli.engine import ARITHMETICS, fault_of, obstacle, pack, state_shapes
from s2s_cli.engine.fitting import KNOWN
from s2s_cli.errors import CheckpointError

each_member = pytest.mark.parametrize("member", MEMBERS)


@each_member
@pytest.mark.parametrize("name", ARITHMETICS)
def test_packed_arrays_have_the_names_types_and_shapes_that_are_told(member: str, name: str) -> None:
    assert fault_of(pack(weights(member), form(member), name), form(member), name) is None


@each_member
def test_the_state_has_the_names_and_shapes_that_are_told(member: str) -> None:
    assert {name: array.shape for name, array in weights(member).items()} == state_shapes(form(member))


@each_member
def test_a_file_holds_every_bit(member: str) -> None:
    arrays = pack(weights(member), form(member), "int8")
    found, _ = decode_arrays(b"".join(map(bytes, encode_arrays(arrays, {}))), "a file")
    assert found.keys() == arrays.keys()
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_of_a_shared_table_any_name_will_do() -> None:
    """Older models hold it under each of its names."""
    member = "all tied"
    state = {name: tensor.detach().numpy() for name, tensor in model(member).named_parameters(remove_duplicate=False)}
    assert len(state) == len(weights(member)) + 2
    one, other = (pack(each, form(member), "int8") for each in (weights(member), state))
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda arrays: arrays.pop("energy"), "has no array `energy`"),
        (lambda arrays: arrays.update(more=np.zeros(1)), "has an array 'more'"),
        (lambda arrays: arrays.update(energy=np.zeros(19)), "array `energy` is float64"),
        (
            lambda arrays: arrays.update({"state.weights": arrays["state.weights"][:1]}),
            "array `state.weights` is uint8",
        ),
        (
            lambda arrays: arrays.update({"state.scales": arrays["state.scales"] * np.nan}),
            "array `state.scales` has a number that is not finite",
        ),
        (
            lambda arrays: arrays.update({"output.bias": arrays["output.bias"] + np.inf}),
            "array `output.bias` has a number that is not finite",
        ),
    ],
)
def test_other_arrays_are_told(change: Any, fault: str) -> None:
    arrays = pack(weights("Bahdanau"), form("Bahdanau"), "int8")
    change(arrays)
    assert (fault_of(arrays, form("Bahdanau"), "int8") or "").startswith(fault)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ARITHMETICS)
def test_weights_that_are_not_finite_are_refused_by_name(name: str, number: float) -> None:
    """In 8 bits they would be numbers like others."""
    whole = weights("conditional")
    for tensor in state_shapes(form("conditional")):
        broken = whole | {tensor: whole[tensor].copy()}
        broken[tensor].flat[-1] = number
        with pytest.raises(CheckpointError, match=re.escape(f"model.file: tensor '{tensor}' has a number that is not")):
            pack(broken, form("conditional"), name, "model.file")


@each_member
def test_the_members_fit(member: str) -> None:
    assert obstacle(section(member).values()) is None


OTHERS: dict[str, Any] = {
    "cell": "lstm",
    "layer_norm": True,
    "output": "copy",
    "encoder.kind": "transformer",
    "decoder.cell": "ssru",
    "decoder.layers": 2,
    "decoder.context": "initial",
    "attention.score": "dot",
    "attention.query": "current",
    "attention.heads": 2,
    "attention.coverage": True,
}


@pytest.mark.parametrize("key", OTHERS)
def test_a_part_that_the_engine_does_not_know_is_named(key: str) -> None:
    values = section("Bahdanau").values()
    owner, _, name = key.rpartition(".")
    (values[owner] if owner else values)[name] = OTHERS[key]
    assert obstacle(values) == f"{key} = {OTHERS[key]}"


def test_every_key_is_known_and_a_new_one_is_an_obstacle() -> None:
    values = section("Bahdanau").values()
    for part in (values, values["encoder"], values["decoder"], values["attention"]):
        part["invented"] = 1
        assert (obstacle(values) or "").endswith("invented = 1")
        del part["invented"]
    for key in KNOWN:
        changed = copy.deepcopy(values)
        owner, _, name = key.rpartition(".")
        del (changed[owner] if owner else changed)[name]
        assert obstacle(changed) == f"no {key}"
