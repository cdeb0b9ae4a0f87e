"""What the engine computes with: functions of the C library, and beside them the same in NumPy.

Both have the names and arguments of `s2s_cli.native.engine`, write their results into arrays that they are given, and
agree. Without a library the engine runs on the second kind: slower, with the same translations.

Shapes: as of `s2s_cli.engine.decoder`. P blocks of packed weights, Q numbers in one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from s2s_cli.engine.arithmetic import Operand, from_table, quantised, to_bfloat16
from s2s_cli.native.products import COLUMNS, multiply_reference, pack, unpack
from s2s_cli.search.step_model import greatest, mean_probability


class Matrix(NamedTuple):
    """Packed weights, and in int8 the scale of each output."""

    packed_PQ: np.ndarray
    scales_N: np.ndarray | None


BOUND = 43
"""Within which queries and keys are kept, so that no e^2x is infinite or zero. That changes nothing unless a query
beyond it meets a key beyond 33 with the opposite sign, or the reverse: else the tangent is 1 or -1 anyway."""


def sigmoid(x: np.ndarray) -> np.ndarray:
    """By the tangent, which never overflows."""
    return 0.5 * np.tanh(0.5 * x) + 0.5


def log_softmax(logits_XN: np.ndarray) -> np.ndarray:
    """Along the last dimension."""
    shifted_XN = logits_XN - logits_XN.max(axis=-1, keepdims=True)
    return shifted_XN - np.log(np.exp(shifted_XN).sum(axis=-1, keepdims=True))


def product_of(rows: Operand, weights: Matrix, outputs: int) -> np.ndarray:
    """Rows times weights, which have so many outputs: float32."""
    weights_NK = unpack(weights.packed_PQ, outputs, rows.values_RN.shape[1])
    products_RN = multiply_reference(rows.values_RN, weights_NK)
    if rows.scales_R is None or weights.scales_N is None:
        return products_RN
    return products_RN * (rows.scales_R[:, None] * weights.scales_N)


def numbers_of(rows_RN: np.ndarray, weights: Matrix, outputs: int) -> np.ndarray:
    """The same of float32 rows."""
    return product_of(quantised(rows_RN, weights.scales_N is not None), weights, outputs)


def prepare(numbers_RN: np.ndarray, operands: Operand) -> None:
    """Rows as products read them."""
    values_RN, scales_R = quantised(numbers_RN, operands.scales_R is not None)
    operands.values_RN[...] = values_RN
    if operands.scales_R is not None:
        operands.scales_R[...] = scales_R


def transition(inputs_RG: np.ndarray, products_RG: np.ndarray, before_RH: np.ndarray) -> np.ndarray:
    """s_t of a GRU, n + z (s_{t-1} − n), see `s2s_cli.model.cells.GRU`. inputs, products: what its gates are sums of,
    of the input and of the state; the reset gate applies to the latter."""
    x_reset, x_update, x_new = np.split(inputs_RG, 3, axis=1)
    s_reset, s_update, s_new = np.split(products_RG, 3, axis=1)
    reset, update = sigmoid(x_reset + s_reset), sigmoid(x_update + s_update)
    new_RH = np.tanh(x_new + reset * s_new)
    return new_RH + update * (before_RH - new_RH)


def read(
    inputs: Matrix,
    input_bias_G: np.ndarray,
    weights: Matrix,
    bias_G: np.ndarray,
    inputs_BSI: np.ndarray,
    lengths_B: np.ndarray,
    states_BSH: np.ndarray,
    is_backwards: int,
) -> None:
    """h_j of one direction of the encoder, from zero on, and zero at padding. inputs: the weights of what it reads."""
    B, S, H = states_BSH.shape
    inputs_RG = numbers_of(inputs_BSI.reshape(B * S, inputs_BSI.shape[2]), inputs, 3 * H) + input_bias_G
    inputs_BSG, state_BH = inputs_RG.reshape(B, S, 3 * H), np.zeros((B, H), np.float32)
    for s in reversed(range(S)) if is_backwards else range(S):
        following_BH = transition(inputs_BSG[:, s], numbers_of(state_BH, weights, 3 * H) + bias_G, state_BH)
        state_BH = np.where((s < lengths_B)[:, None], following_BH, np.float32(0))
        states_BSH[:, s] = state_BH


def hold(
    memory: Matrix,
    bias_A: np.ndarray,
    states_BSM: np.ndarray,
    lengths_B: np.ndarray,
    keys_BSA: np.ndarray,
    values: Operand,
) -> None:
    """Of each position that is no padding the key as e^2k, which makes a product of e^2(q + k); and its value.

    memory: the weights of keys and of values, one below the other.
    """
    is_valid_BS, A, W = np.arange(states_BSM.shape[1]) < lengths_B[:, None], len(bias_A), values.values_RN.shape[2]
    numbers_RU = numbers_of(states_BSM[is_valid_BS], memory, A + W)
    keys_RA = np.exp(2 * np.clip(numbers_RU[:, :A] + bias_A, -BOUND, BOUND))
    keys_BSA[is_valid_BS] = to_bfloat16(keys_RA) if keys_BSA.dtype == np.uint16 else keys_RA
    values_RW, scales_R = quantised(numbers_RU[:, A:], values.scales_R is not None)
    values.values_RN[is_valid_BS] = values_RW
    if values.scales_R is not None:
        values.scales_R[is_valid_BS] = scales_R


def begin(bridge: Matrix, bias_H: np.ndarray, summaries_BM: np.ndarray, states_BH: np.ndarray) -> None:
    """s_0 = tanh(W C + b)."""
    states_BH[...] = np.tanh(numbers_of(summaries_BM, bridge, len(bias_H)) + bias_H)


def step(
    first: Matrix,
    first_bias_G: np.ndarray | None,
    gates_VG: np.ndarray,
    state: Matrix,
    input_bias_G: np.ndarray | None,
    state_bias_G: np.ndarray,
    energy_A: np.ndarray,
    readout: Matrix,
    readouts_VD: np.ndarray,
    readout_bias_D: np.ndarray,
    keys_BSA: np.ndarray,
    values: Operand,
    lengths_B: np.ndarray,
    before_NH: np.ndarray,
    sentences_b: np.ndarray,
    symbols_R: np.ndarray,
    origins_R: np.ndarray,
    after_RH: np.ndarray,
    attention_RS: np.ndarray,
    readouts: Operand,
) -> None:
    """From s_{t-1} and y_{t-1} to s_t and what the output projection reads; with `first`, of a conditional GRU.

    before: states, of which `origins_R` names that which each row goes on from. state: the weights of the query and of
    the gates, one below the other. values: what a position adds to the gates and to the readout, side by side.
    """
    A, (G, D) = len(energy_A), (gates_VG.shape[1], len(readout_bias_D))
    before_RH, inputs_RG = before_NH[origins_R], from_table(gates_VG[symbols_R])
    if first_bias_G is not None and input_bias_G is not None:
        before_RH = transition(inputs_RG, numbers_of(before_RH, first, G) + first_bias_G, before_RH)
        inputs_RG = input_bias_G[None]
    states_RU = numbers_of(before_RH, state, A + G)
    encoded = (keys_BSA, values, lengths_B, np.repeat(sentences_b, len(symbols_R) // max(1, len(sentences_b))))
    attention_RS[...], contexts_RW = attend(states_RU[:, :A], energy_A, *encoded)
    after_RH[...] = transition(inputs_RG + contexts_RW[:, :G], states_RU[:, A:] + state_bias_G, before_RH)
    sums_RD = numbers_of(after_RH, readout, D) + contexts_RW[:, G:] + from_table(readouts_VD[symbols_R])
    prepare(np.tanh(sums_RD + readout_bias_D), readouts)


def attend(
    queries_RA: np.ndarray,
    energy_A: np.ndarray,
    keys_BSA: np.ndarray,
    values: Operand,
    lengths_B: np.ndarray,
    sentences_R: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """α_t = softmax_j(v · tanh(q_t + k_j)) and Σ_j α_{t,j} v_j, where tanh(x) = 1 − 2 / (1 + e^2x)."""
    is_padding_RS = np.arange(keys_BSA.shape[1]) >= lengths_B[sentences_R][:, None]
    asked_RA, keys_RSA = np.exp(2 * np.clip(queries_RA, -BOUND, BOUND)), from_table(keys_BSA)[sentences_R]
    keys_RSA[is_padding_RS] = 1  # where there is none
    with np.errstate(over="ignore"):
        parts_RSA = 2 / (1 + asked_RA[:, None] * keys_RSA)
    energies_RS = np.where(is_padding_RS, np.float32(-np.inf), -(parts_RSA @ energy_A))
    attention_RS = np.exp(log_softmax(energies_RS))
    values_RSW = values.values_RN[sentences_R].astype(np.float32)
    values_RSW[is_padding_RS] = 0
    if values.scales_R is not None:  # which padding has none of
        values_RSW *= np.where(is_padding_RS, np.float32(0), values.scales_R[sentences_R])[:, :, None]
    return attention_RS, (attention_RS[:, None] @ values_RSW)[:, 0]


def gather(weights_VD: np.ndarray, symbols_BN: np.ndarray, packed_BPQ: np.ndarray) -> None:
    """The weights of the symbols of each list, packed; the last one as often as it takes to fill a block."""
    filled_BN = np.pad(symbols_BN, ((0, 0), (0, -symbols_BN.shape[1] % COLUMNS)), mode="edge")
    for b, symbols_N in enumerate(filled_BN):
        packed_BPQ[b] = pack(weights_VD[symbols_N])


def project(
    packed_BPQ: np.ndarray,
    scales_BV: np.ndarray | None,
    bias_BV: np.ndarray,
    readouts: Operand,
    sets_b: np.ndarray,
    logits_RV: np.ndarray,
) -> None:
    """The logits of all symbols of a set; each set b has the same number of rows."""
    beam = len(logits_RV) // max(1, len(sets_b))
    for place, b in enumerate(sets_b):
        rows = slice(place * beam, (place + 1) * beam)
        weights = Matrix(packed_BPQ[b], None if scales_BV is None else scales_BV[b])
        logits_RV[rows] = product_of(readouts.rows(rows), weights, logits_RV.shape[1]) + bias_BV[b]


def rank(
    packed_BPQ: np.ndarray,
    scales_BV: np.ndarray | None,
    bias_BV: np.ndarray,
    readouts: Operand,
    sets_b: np.ndarray,
    log_probs_RC: np.ndarray,
    best_RC: np.ndarray,
    ends_R: np.ndarray,
    first: int,
    end: int,
) -> None:
    """Of each row the best symbols from `first` on with their log-probabilities, best first; and log p of `end`."""
    logits_RV = np.empty((len(ends_R), bias_BV.shape[1]), np.float32)
    project(packed_BPQ, scales_BV, bias_BV, readouts, sets_b, logits_RV)
    _rank(log_softmax(logits_RV), log_probs_RC, best_RC, ends_R, first, end)


def rank_mean(
    logits: list[np.ndarray],
    log_probs_RC: np.ndarray,
    best_RC: np.ndarray,
    ends_R: np.ndarray,
    first: int,
    end: int,
) -> None:
    """The same of the mean of the probabilities that the members of an ensemble give."""
    log_probs_RV = mean_probability([log_softmax(logits_RV) for logits_RV in logits])
    _rank(log_probs_RV, log_probs_RC, best_RC, ends_R, first, end)


def _rank(
    log_probs_RN: np.ndarray,
    log_probs_RC: np.ndarray,
    best_RC: np.ndarray,
    ends_R: np.ndarray,
    first: int,
    end: int,
) -> None:
    found_RC, places_RC = greatest(log_probs_RN[:, first:], log_probs_RC.shape[1])
    log_probs_RC[...], best_RC[...] = -np.inf, first
    log_probs_RC[:, : found_RC.shape[1]] = found_RC
    best_RC[:, : found_RC.shape[1]] = places_RC + first
    ends_R[...] = log_probs_RN[:, end]


REFERENCES: dict[str, Callable[..., None]] = {
    function.__name__: function for function in (read, hold, begin, step, gather, project, rank, rank_mean)
}
