"""The encoder: layers of GRU cells in one or two directions, and what the decoder is given of their states.

Padding costs nothing and changes nothing: a direction stops, or begins, where the sentence ends.

Shapes: as of `s2s_cli.engine.decoder`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from s2s_cli.engine.arithmetic import Operand, from_table
from s2s_cli.engine.form import Form
from s2s_cli.engine.machine import Call, Machine


class Encoded(NamedTuple):
    """The encoded sentences of a batch, as a step of decoding reads them (see `hold` of `passes`). state_BH: s_0."""

    keys_BSA: np.ndarray
    values_BSW: Operand
    lengths_B: np.ndarray
    state_BH: np.ndarray


class Encoder:
    """Reads sentences."""

    def __init__(self, form: Form, machine: Machine) -> None:
        self.form, self.machine = form, machine
        sides = [[f"encoder.{layer}.{side}" for side in range(form.directions)] for layer in range(form.layers)]
        self._read = [[self._direction(name) for name in names] for names in sides]
        self._hold = machine.call("hold", (machine.matrix("memory"), machine.arrays["keys.bias"]))
        bridge = (machine.matrix("bridge"), machine.arrays["bridge.bias"]) if form.bridge == "dense" else None
        self._begin = None if bridge is None else machine.call("begin", bridge)

    def _direction(self, name: str) -> Call:
        machine, biases = self.machine, (self.machine.arrays[f"{name}.{part}"] for part in ("input_bias", "bias"))
        matrices = (machine.matrix(part) for part in (f"{name}.inputs", name))
        return machine.call("read", [part for pair in zip(matrices, biases, strict=True) for part in pair])

    def __call__(self, source_BS: np.ndarray, lengths_B: np.ndarray) -> Encoded:
        """source_BS: symbols, padded at the end. lengths_B: how many of them are valid, at least one."""
        states_BSM = self.read(source_BS, lengths_B)
        (B, S), form, arithmetic = source_BS.shape, self.form, self.machine.arithmetic
        keys_BSA: np.ndarray = np.empty((B, S, form.attention), arithmetic.tables)
        values = Operand(
            np.empty((B, S, 3 * form.hidden + form.readout), arithmetic.operands),
            np.empty((B, S), np.float32) if arithmetic.has_scales else None,
        )
        self._hold((states_BSM, lengths_B, keys_BSA, values))
        summaries_BM = SUMMARIES[form.summary](states_BSM, lengths_B, form.directions)
        return Encoded(keys_BSA, values, lengths_B, self.begin(summaries_BM))

    def read(self, source_BS: np.ndarray, lengths_B: np.ndarray) -> np.ndarray:
        """h_1..h_N of the top layer, zero at padding [B, S, M]."""
        below_BSI = from_table(self.machine.arrays["embedding.table"][source_BS])
        for depth, directions in enumerate(self._read):
            states_BSM = np.empty((*source_BS.shape, self.form.memory), np.float32)
            for side, run in enumerate(directions):
                columns = slice(side * self.form.encoder_hidden, (side + 1) * self.form.encoder_hidden)
                run((below_BSI, lengths_B, states_BSM[:, :, columns]), side)
            if self.form.residual and depth > 0:
                states_BSM += below_BSI
            below_BSI = states_BSM
        return below_BSI

    def begin(self, summaries_BM: np.ndarray) -> np.ndarray:
        """s_0 = q(C), float32 [B, H]."""
        if self._begin is None:
            return summaries_BM
        states_BH = np.empty((len(summaries_BM), self.form.hidden), np.float32)
        self._begin((summaries_BM, states_BH))
        return states_BH


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
