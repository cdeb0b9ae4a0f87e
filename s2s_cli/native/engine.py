"""The functions of `c/encoder.c`, `c/step.c` and `c/ranking.c`: the engine.

Their reference is `s2s_cli.engine.passes`. The scales of an operand and of packed weights exist in 8 bits only. What
belongs to a model comes first, then what belongs to a batch of sentences, and last what belongs to a step: the first
two are held (`Function.hold`). E: members of an ensemble; P, X and T: blocks of packed weights, Q and Y: the numbers in
one, see `products`.
"""

from __future__ import annotations

from ctypes import c_int64

from s2s_cli.native.calls import ABSENT, Function, Parameter, Scalar
from s2s_cli.native.products import COLUMNS, GROUP

_FLOAT32 = {kind: "float32" for kind in ("operand", "table", "packed")} | {"scale": ABSENT}
_INT8 = {"operand": "int8", "table": "bfloat16", "packed": "uint8", "scale": "float32"}
ARITHMETICS = {"float32": _FLOAT32, "int8": _INT8}

_ONE_TRANSITION = {"first packed": ABSENT, "first scale": ABSENT, "first bias": ABSENT}
_STEPS = {name: kinds | _ONE_TRANSITION for name, kinds in ARITHMETICS.items()}
for _name, _kinds in ARITHMETICS.items():
    _first = {"first packed": _kinds["packed"], "first scale": _kinds["scale"], "first bias": "float32"}
    _STEPS[f"conditional_{_name}"] = _kinds | _first


def _readouts(role: str) -> tuple[Parameter, ...]:
    return Parameter("readouts_RD", "operand", role), Parameter("readouts_scales_R", "scale", role)


def _matrix(name: str, packed: str, outputs: str, prefix: str = "") -> tuple[Parameter, ...]:
    return (
        Parameter(f"{name}_{packed}", f"{prefix}packed"),
        Parameter(f"{name}_scales_{outputs}", f"{prefix}scale"),
    )


def _packed(outputs: str, blocks: str) -> tuple[str, str, int, int]:
    return (blocks, outputs, COLUMNS, 1)


def _inputs(inputs: str, numbers: str) -> tuple[str, str, int, int]:
    return (numbers, inputs, GROUP, COLUMNS * GROUP)


_LENGTHS = Parameter("lengths_B", "int64", limits=(1, "S"))
_READ = (
    *_matrix("inputs", "PY", "G"),
    Parameter("input_bias_G", "float32"),
    *_matrix("weights", "PQ", "G"),
    Parameter("bias_G", "float32"),
    Parameter("inputs_BSI", "float32"),
    _LENGTHS,
    Parameter("states_BSH", "float32", "written"),
)
_HOLD = (
    *_matrix("memory", "PQ", "U"),
    Parameter("bias_A", "float32"),
    Parameter("states_BSM", "float32"),
    _LENGTHS,
    Parameter("keys_BSA", "table", "written"),
    Parameter("values_BSW", "operand", "written"),
    Parameter("values_scales_BS", "scale", "written"),
)
_BEGIN = (
    *_matrix("bridge", "PQ", "H"),
    Parameter("bias_H", "float32"),
    Parameter("summaries_BM", "float32"),
    Parameter("states_BH", "float32", "written"),
)
_STEP = (
    *_matrix("first", "PQ", "G", "first "),
    Parameter("first_bias_G", "first bias"),
    Parameter("gates_VG", "table"),
    *_matrix("state", "XQ", "U"),
    Parameter("input_bias_G", "first bias"),
    Parameter("state_bias_G", "float32"),
    Parameter("energy_A", "float32"),
    *_matrix("readout", "TQ", "D"),
    Parameter("readouts_VD", "table"),
    Parameter("readout_bias_D", "float32"),
    # of the batch
    Parameter("keys_BSA", "table"),
    Parameter("values_BSW", "operand"),
    Parameter("values_scales_BS", "scale"),
    _LENGTHS,
    # of the step
    Parameter("before_NH", "float32"),
    Parameter("sentences_b", "int64", limits=(0, "B")),
    Parameter("symbols_R", "int64", limits=(0, "V")),
    Parameter("origins_R", "int64", limits=(0, "N")),
    Parameter("after_RH", "float32", "written"),
    Parameter("attention_RS", "float32", "written"),
    *_readouts("written"),
)
_GATHER = (
    Parameter("weights_VD", "operand"),
    Parameter("symbols_BN", "int64", limits=(0, "V")),
    Parameter("packed_BPQ", "packed", "written"),
)
_PROJECTION = (
    *_matrix("output", "BPQ", "BV"),
    Parameter("bias_BV", "float32"),
    *_readouts("read"),
    Parameter("sets_b", "int64", limits=(0, "B")),
)
_BEST = (
    Parameter("log_probs_RC", "float32", "written"),
    Parameter("best_RC", "int64", "written"),
    Parameter("ends_R", "float32", "written"),
)
_SYMBOLS = [Scalar(c_int64), Scalar(c_int64, below="V")]
_HYPOTHESES: list[tuple[str, str, int | None]] = [("R", "b", None)]
_GATES: list[tuple[str, str, int | None]] = [("G", "H", 3)]
_OUTPUT = [_packed("V", "P"), _inputs("D", "Q")]
FUNCTIONS = {
    function.name: function
    for function in (
        Function(
            "read",
            "BSIH",
            _READ,
            ARITHMETICS,
            multiples=_GATES,
            blocks=[_packed("G", "P"), _inputs("I", "Y"), _inputs("H", "Q")],
            scalars=[Scalar(c_int64)],
        ),
        Function(
            "hold",
            "BSMAW",
            _HOLD,
            ARITHMETICS,
            sums=[("U", "A", "W")],
            blocks=[_packed("U", "P"), _inputs("M", "Q")],
        ),
        Function("begin", "BMH", _BEGIN, ARITHMETICS, blocks=[_packed("H", "P"), _inputs("M", "Q")]),
        Function(
            "step",
            "RbSAHD",
            _STEP,
            _STEPS,
            multiples=[*_HYPOTHESES, *_GATES],
            sums=[("U", "A", "G"), ("W", "G", "D")],
            blocks=[
                *(_packed(*pair) for pair in ("GP", "UX", "DT")),
                _inputs("H", "Q"),
            ],
        ),
        Function("gather", "BNDP", _GATHER, ARITHMETICS, blocks=[_packed("N", "P"), _inputs("D", "Q")]),
        Function(
            "project",
            "RbDV",
            (*_PROJECTION, Parameter("logits_RV", "float32", "written")),
            ARITHMETICS,
            multiples=_HYPOTHESES,
            blocks=_OUTPUT,
        ),
        Function(
            "rank",
            "RbDVC",
            (*_PROJECTION, *_BEST),
            ARITHMETICS,
            multiples=_HYPOTHESES,
            blocks=_OUTPUT,
            scalars=_SYMBOLS,
        ),
        Function(
            "rank_mean",
            "ERVC",
            (Parameter("logits_RV", "float32", each="E"), *_BEST),
            {"float32": {}},
            scalars=_SYMBOLS,
        ),
    )
}
