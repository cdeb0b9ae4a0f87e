"""Recurrent cells: s_t = f(s_{t-1}, x_t), as pure maps from state to state.

A cell owns the weights of its state only. Its input arrives already projected to the gates, so that a whole sequence
can be projected by one product before the recurrence begins. The state is one tensor [..., W]: the LSTM keeps [h; c]
side by side, and `output` takes the h of it. It is handed on in at least float32, for what is rounded at each step adds
up; the products alone have the number type of the input.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn


class Cell(nn.Module):
    """hidden: H. layer_norm: normalise the pre-activations, as in Ba et al. 2016, section 3.1."""

    initialises_itself: ClassVar[bool] = True
    gates: ClassVar[int]
    state_parts: ClassVar[int] = 1

    def __init__(self, hidden: int, layer_norm: bool = False) -> None:
        super().__init__()
        self.hidden = hidden
        self.gate_width = self.gates * hidden
        self.state_width = self.state_parts * hidden
        self.input_norm = nn.LayerNorm(self.gate_width) if layer_norm else nn.Identity()

    def output(self, state: Tensor) -> Tensor:
        """The part of the state [..., W] that others see, [..., H]."""
        return state[..., : self.hidden]

    @abstractmethod
    def forward(self, projected: Tensor, state: Tensor) -> Tensor:
        """projected [..., G] (the input's share of the gates, with biases), state [..., W] -> next state [..., W].

        The next state has the number type of the state, or a wider one.
        """


class ProductCell(Cell):
    """The gates see the state by a product, U s_{t-1} + b."""

    def __init__(self, hidden: int, layer_norm: bool = False) -> None:
        super().__init__(hidden, layer_norm)
        self.recurrent = nn.Linear(hidden, self.gate_width)
        self.state_norm = nn.LayerNorm(self.gate_width) if layer_norm else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Orthogonal recurrent weights, gate by gate; zero biases."""
        for gate in self.recurrent.weight.data.split(self.hidden):
            nn.init.orthogonal_(gate)
        nn.init.zeros_(self.recurrent.bias)

    def parts(self, projected: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """The parts of the gates [..., G] that are of the input and of the state's output `seen` [..., H], as wide as
        the state."""
        products = self.state_norm(self.recurrent(seen.to(projected.dtype)))
        return self.input_norm(projected).to(seen.dtype), products.to(seen.dtype)


class GRU(ProductCell):
    """Gated recurrent unit (Cho et al. 2014), in the form of cuDNN: the reset gate follows the product."""

    gates = 3

    def forward(self, projected: Tensor, state: Tensor) -> Tensor:
        of_input, of_state = self.parts(projected, state)
        x_reset, x_update, x_new = of_input.chunk(3, dim=-1)
        s_reset, s_update, s_new = of_state.chunk(3, dim=-1)
        reset = torch.sigmoid(x_reset + s_reset)
        update = torch.sigmoid(x_update + s_update)
        new = torch.tanh(x_new + reset * s_new)
        return new + update * (state - new)


class LSTM(ProductCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997) with forget gate (Gers et al. 2000)."""

    gates = 4
    state_parts = 2

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.ones_(self.recurrent.bias.data[self.hidden : 2 * self.hidden])  # remember at first (Jozefowicz 2015)

    def forward(self, projected: Tensor, state: Tensor) -> Tensor:
        h, c = state.chunk(2, dim=-1)
        of_input, of_state = self.parts(projected, h)
        enter, forget, new, leave = (of_input + of_state).chunk(4, dim=-1)
        c = torch.sigmoid(forget) * c + torch.sigmoid(enter) * torch.tanh(new)
        return torch.cat([torch.sigmoid(leave) * torch.tanh(c), c], dim=-1)


class RNN(ProductCell):
    """Simple recurrent network (Elman 1990)."""

    gates = 1

    def forward(self, projected: Tensor, state: Tensor) -> Tensor:
        of_input, of_state = self.parts(projected, state)
        return torch.tanh(of_input + of_state)


class InputGatedCell(Cell):
    """c_t = f_t ⊙ c_{t-1} + (1 − f_t) ⊙ x̃_t, where f_t = σ(W_f x_t + b) and x̃_t = W x_t see the input only.

    With no product of the state, a sequence is one product before the recurrence and one elementwise pass.
    """

    gates = 2

    def __init__(self, hidden: int, layer_norm: bool = False) -> None:
        super().__init__(hidden, layer_norm)
        self.forget_bias = nn.Parameter(torch.ones(hidden))  # remember at first, as the LSTM

    def forward(self, projected: Tensor, state: Tensor) -> Tensor:
        gates = self.input_norm(projected).to(state.dtype)
        forget, new = gates[..., : self.hidden], gates[..., self.hidden : 2 * self.hidden]
        memory = new + torch.sigmoid(forget + self.forget_bias) * (state[..., : self.hidden] - new)
        return self.shown(gates, memory)

    def shown(self, gates: Tensor, memory: Tensor) -> Tensor:
        """The state [..., W] made of c_t [..., H]. gates: the normalised ones, [..., G]."""
        return memory


class MinGRU(InputGatedCell):
    """Minimal GRU (Feng et al. 2024, section 3.1)."""


class SSRU(InputGatedCell):
    """Simpler simple recurrent unit (Kim et al. 2019, section 3.1): others see h_t = relu(c_t)."""

    def output(self, state: Tensor) -> Tensor:
        return torch.relu(state)


class SRU(InputGatedCell):
    """Simple recurrent unit (Lei et al. 2018, section 2; its gates without the state): others see
    h_t = r_t ⊙ tanh(c_t) + (1 − r_t) ⊙ W_h x_t, kept beside c_t, where r_t = σ(W_r x_t + b)."""

    gates = 4
    state_parts = 2

    def shown(self, gates: Tensor, memory: Tensor) -> Tensor:
        reset, way = gates[..., 2 * self.hidden :].chunk(2, dim=-1)
        return torch.cat([memory, way + torch.sigmoid(reset) * (torch.tanh(memory) - way)], dim=-1)

    def output(self, state: Tensor) -> Tensor:
        return state[..., self.hidden :]


CELLS: dict[str, type[Cell]] = {
    "gru": GRU,
    "lstm": LSTM,
    "rnn": RNN,
    "ssru": SSRU,
    "sru": SRU,
    "mingru": MinGRU,
}
