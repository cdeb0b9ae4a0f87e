"""The encoder: layers of GRU cells in one or two directions, and what the decoder is given of their states.

Padding costs nothing and changes nothing: a direction stops, or begins, where the sentence ends.

Shapes: as of `s2s_cli.engine.decoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from s2s_cli.engine.arithmetic import Operand, Product
from s2s_cli.engine.form import Form
from s2s_cli.engine.machine import Machine


class Encoded(NamedTuple):
    """The encoded sentences of a batch, as a step of decoding reads them (see `hold` of `passes`). state_BH: s_0."""

    keys_BSA: np.ndarray
    values_BSW: np.ndarray
    lengths_B: np.ndarray
    state_BH: np.ndarray


class Encoder:
    """Reads sentences."""

    def __init__(self, form: Form, machine: Machine) -> None:
        self.form, self.machine = form, machine
        self.embedding = Operand(machine.arrays["embedding.values"], machine.arrays.get("embedding.scales"))
        self.inputs = [machine.matrix(f"encoder.{layer}") for layer in range(form.layers)]
        self.memory = machine.matrix("memory")
        self.bridge = machine.matrix("bridge") if form.bridge == "dense" else None

    def __call__(self, source_BS: np.ndarray, lengths_B: np.ndarray) -> Encoded:
        """source_BS: symbols, padded at the end. lengths_B: how many of them are valid, at least one."""
        states_BSM = self.read(source_BS, lengths_B)
        summary_BM = SUMMARIES[self.form.summary](states_BSM, lengths_B, self.form.directions)
        keys_BSA, values_BSW = self.remember(states_BSM)
        return Encoded(keys_BSA, values_BSW, lengths_B, self.begin(summary_BM))

    def remember(self, states_BSM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The keys of the attention, and what each position adds to the sums that the context is part of."""
        (B, S, M), A, W = states_BSM.shape, self.form.attention, 3 * self.form.hidden + self.form.readout
        machine = self.machine
        products = machine.product(machine.prepared(states_BSM.reshape(B * S, M)), self.memory, A + W)
        keys_RA: np.ndarray = np.empty((B * S, A), machine.arithmetic.tables)
        values_RW: np.ndarray = np.empty((B * S, W), machine.arithmetic.tables)
        machine.call("hold")((products, machine.arrays["keys.bias"], keys_RA, values_RW))
        return keys_RA.reshape(B, S, A), values_RW.reshape(B, S, W)

    def read(self, source_BS: np.ndarray, lengths_B: np.ndarray) -> np.ndarray:
        """h_1..h_N of the top layer, zero at padding [B, S, M]."""
        form, machine = self.form, self.machine
        operand, states_BSM = self.embedding.rows(source_BS.ravel()), np.empty(0, np.float32)
        for layer in range(form.layers):
            below_BSM, states_BSM = states_BSM, np.empty((*source_BS.shape, form.memory), np.float32)
            products = machine.product(operand, self.inputs[layer], 3 * form.memory)
            for side in range(form.directions):
                self._run(layer, side, products, lengths_B, states_BSM)
            if form.residual and layer > 0:
                states_BSM += below_BSM
            if layer + 1 < form.layers:
                operand = machine.prepared(states_BSM.reshape(-1, form.memory))
        return states_BSM

    def _run(self, layer: int, side: int, products: Product, lengths_B: np.ndarray, states_BSM: np.ndarray) -> None:
        """One direction of a layer, into its share of the states."""
        (B, S, _), H, arrays = states_BSM.shape, self.form.encoder_hidden, self.machine.arrays
        values_RG, scales_R, scales_G = products.columns(3 * H * side, 3 * H * (side + 1))
        scales_BS = None if scales_R is None else scales_R.reshape(B, S)
        inputs, name = Product(values_RG.reshape(B, S, 3 * H), scales_BS, scales_G), f"encoder.{layer}.{side}"
        weights = (arrays[f"{name}.input_bias"], self.machine.matrix(name), arrays[f"{name}.bias"])
        states_BSH = states_BSM[:, :, H * side : H * (side + 1)]
        self.machine.call("read")((inputs, *weights, lengths_B, states_BSH), side)

    def begin(self, summary_BM: np.ndarray) -> np.ndarray:
        """s_0 = q(C), float32 [B, H]."""
        if self.bridge is None:
            return summary_BM
        products = self.machine.product(self.machine.prepared(summary_BM), self.bridge, self.form.hidden)
        state_BH = np.empty(products.values_RN.shape, np.float32)
        self.machine.call("begin")((products, self.machine.arrays["bridge.bias"], state_BH))
        return state_BH


def last_state(states_BSM: np.ndarray, lengths_B: np.ndarray, directions: int) -> np.ndarray:
    """C = h_N; with two directions, the end of each: forward at the last word, backward at the first (Cho 2014)."""
    last_BM = states_BSM[np.arange(len(lengths_B)), lengths_B - 1]
    if directions == 2:
        half = states_BSM.shape[2] // 2
        last_BM[:, half:] = states_BSM[:, 0, half:]
    return last_BM


def mean_state(states_BSM: np.ndarray, lengths_B: np.ndarray, directions: int) -> np.ndarray:
    """C = the mean of h_1..h_N, summed in their order: padding, which is zero, changes no sum."""
    sums_BM = np.zeros_like(states_BSM[:, 0])
    for s in range(states_BSM.shape[1]):
        sums_BM += states_BSM[:, s]
    return sums_BM / lengths_B[:, None].astype(np.float32)


def max_state(states_BSM: np.ndarray, lengths_B: np.ndarray, directions: int) -> np.ndarray:
    """C = the elementwise maximum of h_1..h_N."""
    is_padding_BS1 = (np.arange(states_BSM.shape[1]) >= lengths_B[:, None])[:, :, None]
    return np.where(is_padding_BS1, np.float32(-np.inf), states_BSM).max(axis=1)


Summary = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
SUMMARIES: dict[str, Summary] = {"last": last_state, "mean": mean_state, "max": max_state}
