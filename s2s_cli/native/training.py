"""The functions of `c/training.c`: the operations between the matrix products of a recurrence, and softmax
cross-entropy.

Their reference is `s2s_cli.model.kernels.aten`.
"""

from __future__ import annotations

from ctypes import c_float, c_int64

from s2s_cli.native.calls import Function, Parameter, Scalar

STORAGES = {kind: {"storage": kind} for kind in ("float32", "bfloat16")}
POSITION = Scalar(c_int64, below="T")

_GRU = (
    Parameter("inputs_TBG", "storage", "changing"),
    Parameter("products_TBG", "storage", "changing"),
    Parameter("bias_G", "float32"),
    Parameter("valid_TB", "bool", optional=True),
    Parameter("previous_TBH", "storage", "changing"),
    Parameter("following_TBH", "storage", "written"),
    Parameter("carry_BH", "float32", "written"),
)
_GRU_GRADIENTS = (
    Parameter("d_states_TBH", "storage"),
    Parameter("d_feedback_BH", "storage", "changing"),
    Parameter("d_inputs_TBG", "storage", "written"),
    Parameter("d_products_TBG", "storage", "written"),
    Parameter("d_carry_BH", "float32", "written"),
)
_BLEND = (
    Parameter("inputs_TBG", "storage", "changing"),
    Parameter("bias_H", "float32"),
    Parameter("valid_TB", "bool", optional=True),
    Parameter("previous_TBH", "storage", "changing"),
    Parameter("following_TBH", "storage", "written"),
    Parameter("carry_BH", "float32", "written"),
)
_BLEND_GRADIENTS = (
    Parameter("d_states_TBH", "storage"),
    Parameter("d_inputs_TBG", "storage", "written"),
    Parameter("d_carry_BH", "float32", "written"),
)
_ATTENTION = (
    Parameter("queries_TBA", "storage", "changing"),
    Parameter("keys_BSA", "storage"),
    Parameter("energy_A", "float32"),
    Parameter("memory_BSM", "storage"),
    Parameter("valid_BS", "bool"),
    Parameter("attention_TBS", "float32", "written"),
    Parameter("contexts_TBM", "storage", "written"),
)
_ATTENTION_GRADIENTS = (
    Parameter("d_attention_TBS", "float32", optional=True),
    Parameter("d_contexts_TBM", "storage", "changing"),
    Parameter("d_queries_TBA", "storage", "written"),
    Parameter("d_keys_BSA", "float32", "written"),
    Parameter("d_energy_BA", "float32", "written"),
)
_MEMORY_GRADIENT = (
    Parameter("attention_TBS", "float32"),
    Parameter("d_contexts_TBM", "storage"),
    Parameter("d_memory_BSM", "storage", "written"),
)
_SOFTMAX = (
    Parameter("logits_NV", "storage", "written"),
    Parameter("bias_V", "float32"),
    Parameter("targets_N", "int64", limits=(0, "V")),
    Parameter("loss_N", "float32", "written"),
    Parameter("likelihood_N", "float32", "written"),
)

_THREE, _TWO = [("G", "H", 3)], [("G", "H", 2)]
FUNCTIONS = {
    function.name: function
    for function in (
        Function("gru_forward", "BH", _GRU, STORAGES, multiples=_THREE, scalars=[POSITION]),
        Function("gru_backward", "BH", _GRU + _GRU_GRADIENTS, STORAGES, multiples=_THREE, scalars=[POSITION]),
        Function("blend_forward", "BH", _BLEND, STORAGES, multiples=_TWO, scalars=[POSITION]),
        Function("blend_backward", "BH", _BLEND + _BLEND_GRADIENTS, STORAGES, multiples=_TWO, scalars=[POSITION]),
        Function("attention_forward", "BSAM", _ATTENTION, STORAGES, scalars=[POSITION]),
        Function("attention_backward", "BSAM", _ATTENTION + _ATTENTION_GRADIENTS, STORAGES, scalars=[POSITION]),
        Function("attention_memory", "TBSM", _MEMORY_GRADIENT, {"bfloat16": STORAGES["bfloat16"]}),
        Function("cross_entropy", "NV", _SOFTMAX, STORAGES, scalars=[Scalar(c_float)]),
    )
}
