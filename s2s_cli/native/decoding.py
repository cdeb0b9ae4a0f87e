"""The functions of `c/decoding.c`: the operations between the matrix products of a step of decoding.

Their reference is `s2s_cli.model.engine.passes`. A product consists of three arrays and an operand of two; the scales
exist in int8 only. E: members of an ensemble.
"""

from __future__ import annotations

from ctypes import c_int64

from s2s_cli.native.calls import ABSENT, Function, Parameter, Scalar

ARITHMETICS = {
    kind: {"product": kind, "operand": kind, "table": kind, "scale": ABSENT} for kind in ("float32", "bfloat16")
} | {"int8": {"product": "int32", "operand": "int8", "table": "bfloat16", "scale": "float32"}}


def _product(name: str, columns: str) -> tuple[Parameter, ...]:
    return (
        Parameter(f"{name}_R{columns}", "product"),
        Parameter(f"{name}_row_scales_R", "scale"),
        Parameter(f"{name}_column_scales_{columns}", "scale"),
    )


def _operand(name: str, columns: str, role: str = "written") -> tuple[Parameter, ...]:
    return Parameter(f"{name}_R{columns}", "operand", role), Parameter(f"{name}_scales_R", "scale", role)


_SYMBOLS = Parameter("symbols_R", "int64", limits=(0, "V"))
_SENTENCES = Parameter("sentences_b", "int64", limits=(0, "B"))
_BEST = (Parameter("log_probs_RC", "float32", "written"), Parameter("best_RC", "int64", "written"))
_ENDS = Parameter("ends_R", "float32", "written")

_PREPARE = (Parameter("numbers_RN", "float32"), *_operand("operands", "N"))
_ATTEND = (
    *_product("queries", "A"),
    Parameter("energy_A", "float32"),
    Parameter("keys_BSA", "table"),
    Parameter("memory_BSM", "table"),
    _SENTENCES,
    Parameter("lengths_B", "int64", limits=(1, "S")),
    Parameter("attention_RS", "float32", "written"),
    *_operand("contexts", "M"),
)
_ADVANCE = (
    *_product("states", "G"),
    *_product("contexts", "G"),
    Parameter("table_VG", "table"),
    _SYMBOLS,
    Parameter("bias_G", "float32"),
    Parameter("before_RH", "float32"),
    Parameter("after_RH", "float32", "written"),
    *_operand("following", "H"),
)
_READ_OUT = (
    *_product("states", "D"),
    *_product("contexts", "D"),
    Parameter("table_VD", "table"),
    _SYMBOLS,
    Parameter("bias_D", "float32"),
    *_operand("readouts", "D"),
)
_RANK = (*_product("logits", "V"), Parameter("bias_V", "float32"), *_BEST, _ENDS)
_OF_EACH_MEMBER = (*_product("logits", "V"), Parameter("bias_V", "float32"))
_RANK_MEAN = (*(parameter._replace(each="E") for parameter in _OF_EACH_MEMBER), *_BEST, _ENDS)
_LISTED = (_SENTENCES, Parameter("counts_B", "int64", limits=(1, "N")))
_PROJECT_LISTED = (
    *_operand("readouts", "D", "read"),
    Parameter("weights_VD", "operand"),
    Parameter("weight_scales_V", "scale"),
    Parameter("bias_V", "float32"),
    *_LISTED,
    Parameter("symbols_BN", "int64", limits=(0, "V")),
    Parameter("logits_RN", "float32", "written"),
)
_RANK_LISTED = (Parameter("logits_RN", "float32"), *_LISTED, *_BEST, _ENDS)

_HYPOTHESES: list[tuple[str, str, int | None]] = [("R", "b", None)]
FUNCTIONS = {
    function.name: function
    for function in (
        Function("prepare", "RN", _PREPARE, ARITHMETICS),
        Function("attend", "RbSAM", _ATTEND, ARITHMETICS, multiples=_HYPOTHESES),
        Function("advance", "RH", _ADVANCE, ARITHMETICS, multiples=[("G", "H", 3)]),
        Function("read_out", "RD", _READ_OUT, ARITHMETICS),
        Function("rank", "RVC", _RANK, ARITHMETICS, scalars=[Scalar(c_int64), Scalar(c_int64, below="V")]),
        Function("rank_mean", "ERVC", _RANK_MEAN, ARITHMETICS, scalars=[Scalar(c_int64), Scalar(c_int64, below="V")]),
        Function("project_listed", "RbDN", _PROJECT_LISTED, ARITHMETICS, multiples=_HYPOTHESES),
        Function("rank_listed", "RbC", _RANK_LISTED, {"float32": {}}, multiples=_HYPOTHESES, scalars=[Scalar(c_int64)]),
    )
}
