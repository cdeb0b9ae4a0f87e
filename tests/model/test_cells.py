"""The cells, in the encoder, against PyTorch's own recurrences; layer normalisation written out."""

from __future__ import annotations

import pytest
import torch
from family import SOURCE_SIZE, build, example, section
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from s2s_cli.model.building import build_model
from s2s_cli.model.cells import CELLS, LSTM
from s2s_cli.model.encoder import Encoder

TORCH = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


def like_torch(encoder: Encoder, cell: str) -> nn.GRU | nn.LSTM | nn.RNN:
    """PyTorch's module with the encoder's weights."""
    first = encoder.layers[0].directions[0]
    reference = TORCH[cell](
        input_size=first.inputs.in_features,
        hidden_size=first.cell.hidden,
        num_layers=len(encoder.layers),
        bidirectional=encoder.directions == 2,
        batch_first=True,
    ).double()
    weights = {}
    for depth, layer in enumerate(encoder.layers):
        for direction in layer.directions:
            suffix = f"l{depth}{'_reverse' if direction.backwards else ''}"
            for kind, linear in (("ih", direction.inputs), ("hh", direction.cell.recurrent)):
                weights |= {f"weight_{kind}_{suffix}": linear.weight, f"bias_{kind}_{suffix}": linear.bias}
    reference.load_state_dict(weights)
    return reference


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", TORCH)
@torch.no_grad()
def test_encoder_equals_torch(cell: str, bidirectional: bool, layers: int) -> None:
    choices = {
        "cell": cell,
        "encoder.bidirectional": bidirectional,
        "encoder.layers": layers,
        "encoder.summary": "last",
    }
    model, batch = build(section(**choices)), example(lengths=(7, 4, 1, 6))
    memory = model.encoder(batch.source_BS, batch.lengths_B, model.kernel)

    packed = pack_padded_sequence(
        model.encoder.embedding(batch.source_BS), batch.lengths_B, batch_first=True, enforce_sorted=False
    )
    packed_states, last = like_torch(model.encoder, cell)(packed)
    states_BSM, _ = pad_packed_sequence(packed_states, batch_first=True)
    last_LBH = last[0] if cell == "lstm" else last
    directions = 2 if bidirectional else 1
    torch.testing.assert_close(memory.states_BSM, states_BSM, rtol=0, atol=1e-12)
    torch.testing.assert_close(memory.summary_BM, torch.cat([*last_LBH[-directions:]], dim=1), rtol=0, atol=1e-12)


@torch.no_grad()
def test_residual_connections_add_the_layer_below_from_the_second_layer_on() -> None:
    plain = build(section(**{"encoder.layers": 2}))
    residual = build(section(**{"encoder.layers": 2, "encoder.residual": True}))
    shallow = build(section(**{"encoder.layers": 1}))
    residual.load_state_dict(plain.state_dict())
    shallow.encoder.load_state_dict({k: v for k, v in plain.encoder.state_dict().items() if "layers.1" not in k})
    batch = example()

    def states(model: nn.Module) -> Tensor:
        return model.encoder(batch.source_BS, batch.lengths_B, model.kernel).states_BSM

    torch.testing.assert_close(states(residual), states(plain) + states(shallow), rtol=0, atol=1e-12)


def normalised(values: Tensor, norm: nn.LayerNorm) -> Tensor:
    """(x - mean) / sqrt(variance + ε) · gain + bias (Ba et al. 2016, equation 4), over all gates."""
    centred = values - values.mean(dim=-1, keepdim=True)
    return centred / (centred.square().mean(dim=-1, keepdim=True) + norm.eps).sqrt() * norm.weight + norm.bias


@pytest.mark.parametrize("name", TORCH)
@torch.no_grad()
def test_layer_norm_written_out(name: str) -> None:
    torch.manual_seed(1)
    cell = CELLS[name](4, layer_norm=True).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    inputs = torch.randn(3, cell.gate_width, dtype=torch.double)
    state = torch.randn(3, cell.state_width, dtype=torch.double)
    h, c = state[:, :4], state[:, 4:]
    x = normalised(inputs, cell.input_norm).split(4, dim=1)
    s = normalised(h @ cell.recurrent.weight.T + cell.recurrent.bias, cell.state_norm).split(4, dim=1)

    if name == "gru":
        reset, update = torch.sigmoid(x[0] + s[0]), torch.sigmoid(x[1] + s[1])
        expected = (1 - update) * torch.tanh(x[2] + reset * s[2]) + update * h
    elif name == "lstm":
        enter, forget, leave = (torch.sigmoid(x[gate] + s[gate]) for gate in (0, 1, 3))
        c = forget * c + enter * torch.tanh(x[2] + s[2])
        expected = torch.cat([leave * torch.tanh(c), c], dim=1)
    else:
        expected = torch.tanh(x[0] + s[0])
    torch.testing.assert_close(cell(inputs, state), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("name", [name for name in CELLS if name not in TORCH])
@torch.no_grad()
def test_cells_whose_gates_see_the_input_only_written_out(name: str, norm: bool) -> None:
    torch.manual_seed(1)
    cell = CELLS[name](4, layer_norm=norm).double()
    for parameter in cell.parameters():
        nn.init.normal_(parameter)
    inputs = torch.randn(3, cell.gate_width, dtype=torch.double)
    state = torch.randn(3, cell.state_width, dtype=torch.double)
    x = (normalised(inputs, cell.input_norm) if norm else inputs).split(4, dim=1)
    forget = torch.sigmoid(x[0] + cell.forget_bias)
    memory = forget * state[:, :4] + (1 - forget) * x[1]
    outputs = {
        "mingru": lambda: memory,
        "ssru": lambda: memory.clamp(min=0),
        "sru": lambda: torch.sigmoid(x[2]) * torch.tanh(memory) + (1 - torch.sigmoid(x[2])) * x[3],
    }
    following = cell(inputs, state)
    torch.testing.assert_close(following[:, :4], memory, rtol=0, atol=1e-12)
    torch.testing.assert_close(cell.output(following), outputs[name](), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", TORCH)
def test_fresh_cells_have_orthogonal_recurrent_weights_gate_by_gate(name: str) -> None:
    for gate in CELLS[name](5).recurrent.weight.split(5):
        torch.testing.assert_close(gate @ gate.T, torch.eye(5), rtol=0, atol=1e-5)


def test_a_fresh_lstm_remembers() -> None:
    enter, forget, new, leave = LSTM(3).recurrent.bias.split(3)
    assert (forget == 1).all()
    assert not torch.cat([enter, new, leave]).any()


def test_the_same_seed_builds_the_same_model() -> None:
    def weights() -> dict[str, Tensor]:
        torch.manual_seed(8)
        return build_model(section(), SOURCE_SIZE, 13).state_dict()

    first, second = weights(), weights()
    assert all(torch.equal(first[name], second[name]) for name in first)
