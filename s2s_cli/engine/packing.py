"""From the weights of a model, by the names of its state, to the arrays that the engine computes with.

They too have names: `<part>.weights` of a product, packed, and in int8 its `<part>.scales`; biases, tables and vectors.
Sums that go into tables are made in float64, so that the same model gives the same arrays on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from s2s_cli.engine.arithmetic import ARITHMETICS, Arithmetic, quantised, to_table
from s2s_cli.engine.form import Form
from s2s_cli.errors import CheckpointError, printable
from s2s_cli.native import products

Arrays = Mapping[str, np.ndarray]
HEAD, PREVIOUS = "decoder.attention.heads.0", "decoder.previous.dense"


def pack(weights: Arrays, form: Form, name: str, where: object = None) -> dict[str, np.ndarray]:
    """What the engine reads in the arithmetic of this name. weights: float32, with the names and shapes of
    `state_shapes`. where: of the weights, in messages.

    Raises `CheckpointError` naming a tensor with a number that is not finite, for 8 bits would hide it.
    """
    for tensor, weight in weights.items():
        if not np.isfinite(weight).all():
            raise CheckpointError(f"tensor {printable(repr(tensor))} has a number that is not finite", where=where)
    arithmetic, owners = ARITHMETICS[name], form.owners()
    weights = {name: np.asarray(weights[owners.get(name, name)], np.float32) for name in [*weights, *owners]}
    packed: dict[str, np.ndarray] = {}
    for part, names in matrices(form).items():
        weight_NK = np.concatenate([weights[name] for name in names])
        values_NK, scales_N = quantised(weight_NK, arithmetic.has_scales)
        packed[f"{part}.weights"] = products.pack(values_NK)
        if scales_N is not None:
            packed[f"{part}.scales"] = np.maximum(scales_N, np.finfo(np.float32).tiny)
    packed |= {name: weights[own] for name, own in vectors(form).items()}
    return packed | {name: to_table(table, arithmetic) for name, table in _tables(weights, form, arithmetic).items()}


def state_shapes(form: Form) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the state of a model of this form. A table that several parts share has one name."""
    E, H, M, A, G = form.embedding, form.hidden, form.memory, form.attention, 3 * form.hidden
    shapes: dict[str, tuple[int, ...]] = {"encoder.embedding.weight": (form.source, E)}
    for layer in range(form.layers):
        for side in _sides(form, layer):
            gates = 3 * form.encoder_hidden
            shapes |= _dense(f"{side}.inputs", gates, form.encoder_inputs(layer))
            shapes |= _dense(f"{side}.cell.recurrent", gates, form.encoder_hidden)
    if form.bridge == "dense":
        shapes |= _dense("decoder.bridges.0.dense", H, M)
    shapes |= {f"{HEAD}.query.weight": (A, H), f"{HEAD}.energy": (A,)} | _dense(f"{HEAD}.key", A, M)
    shapes |= _dense(PREVIOUS, G, E) | _dense("decoder.stack.cells.0.recurrent", G, H)
    shapes["decoder.context.weight"] = (G, M)
    if form.is_conditional:
        shapes |= {"decoder.context.bias": (G,)} | _dense("decoder.second.recurrent", G, H)
    shapes |= {"readout.context.weight": (form.readout, M), "readout.embedding.weight": (form.readout, E)}
    shapes |= _dense("readout.output", form.readout, H) | _dense("output", form.target, form.readout)
    shapes["embedding.weight"] = (form.target, E)
    return {name: shape for name, shape in shapes.items() if name not in form.owners()}


def _dense(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _sides(form: Form, layer: int) -> list[str]:
    """The directions of a layer of the encoder."""
    return [f"encoder.layers.{layer}.directions.{side}" for side in range(form.directions)]


def matrices(form: Form) -> dict[str, list[str]]:
    """The weights of each product: what reads the same rows is one, and its outputs stand side by side."""
    found: dict[str, list[str]] = {}
    for layer in range(form.layers):
        sides = _sides(form, layer)
        for i, side in enumerate(sides):
            found[f"encoder.{layer}.{i}.inputs"] = [f"{side}.inputs.weight"]
            found[f"encoder.{layer}.{i}"] = [f"{side}.cell.recurrent.weight"]
    if form.bridge == "dense":
        found["bridge"] = ["decoder.bridges.0.dense.weight"]
    found["memory"] = [f"{HEAD}.key.weight", "decoder.context.weight", "readout.context.weight"]
    transition = "decoder.stack.cells.0.recurrent.weight"
    if form.is_conditional:
        found["first"], transition = [transition], "decoder.second.recurrent.weight"
    found["state"] = [f"{HEAD}.query.weight", transition]
    return found | {"readout": ["readout.output.weight"], "output": ["output.weight"]}


def vectors(form: Form) -> dict[str, str]:
    """Biases and what else is used as it is."""
    found: dict[str, str] = {}
    for layer in range(form.layers):
        for i, side in enumerate(_sides(form, layer)):
            found[f"encoder.{layer}.{i}.input_bias"] = f"{side}.inputs.bias"
            found[f"encoder.{layer}.{i}.bias"] = f"{side}.cell.recurrent.bias"
    if form.bridge == "dense":
        found["bridge.bias"] = "decoder.bridges.0.dense.bias"
    transition = "decoder.stack.cells.0.recurrent.bias"
    if form.is_conditional:
        found["first.bias"], transition = transition, "decoder.second.recurrent.bias"
        found["second.bias"] = "decoder.context.bias"
    found |= {"keys.bias": f"{HEAD}.key.bias", "energy": f"{HEAD}.energy", "state.bias": transition}
    return found | {"readout.bias": "readout.output.bias", "output.bias": "output.bias"}


def _tables(weights: Arrays, form: Form, arithmetic: Arithmetic) -> dict[str, np.ndarray]:
    """The embedding of each source symbol; what each target symbol adds to the gates and to the readout, if it is the
    previous one, and the bias of the former."""
    kind = np.float64 if arithmetic.has_scales else np.float32
    embedded_VE = weights["embedding.weight"].astype(kind)
    gates_VG = embedded_VE @ weights[f"{PREVIOUS}.weight"].T.astype(kind)
    readouts_VD = embedded_VE @ weights["readout.embedding.weight"].T.astype(kind)
    tables = {"gates.table": gates_VG + weights[f"{PREVIOUS}.bias"], "readout.table": readouts_VD}
    return {"embedding.table": weights["encoder.embedding.weight"]} | tables


def fault_of(arrays: Arrays, form: Form, name: str) -> str | None:
    """What is wrong with arrays that should be those of `pack`: the first name, type or shape, or a bias or scale that
    is not finite; None if nothing is. Larger arrays are not read, which would delay the start."""
    expected = dict(_shapes(form, ARITHMETICS[name]))
    for array in sorted(arrays.keys() | expected.keys()):
        if array not in expected:
            return f"has an array {printable(repr(array))}, which the engine does not know"
        if array not in arrays:
            return f"has no array `{array}`, which the engine needs"
        kind, shape = expected[array]
        if (arrays[array].dtype, arrays[array].shape) != (kind, shape):
            return f"array `{array}` is {arrays[array].dtype} {list(arrays[array].shape)}, not {kind} {list(shape)}"
        if len(shape) == 1 and not np.isfinite(arrays[array]).all():
            return f"array `{array}` has a number that is not finite"
    return None


def _shapes(form: Form, arithmetic: Arithmetic) -> Iterator[tuple[str, tuple[np.dtype, tuple[int, ...]]]]:
    """The names, number types and shapes of what `pack` makes."""
    shapes = state_shapes(form)
    number, table = np.dtype(np.float32), np.dtype(arithmetic.tables)
    packed = np.dtype(np.uint8) if arithmetic.has_scales else number
    for part, names in matrices(form).items():
        owned = [shapes[form.owners().get(name, name)] for name in names]
        outputs = sum(shape[0] for shape in owned)
        yield f"{part}.weights", (packed, products.packed_shape(outputs, owned[0][1]))
        if arithmetic.has_scales:
            yield f"{part}.scales", (number, (outputs,))
    yield "embedding.table", (table, (form.source, form.embedding))
    yield from ((name, (number, shapes[own])) for name, own in vectors(form).items())
    yield "gates.table", (table, (form.target, 3 * form.hidden))
    yield "readout.table", (table, (form.target, form.readout))
