"""The fused kernel computes what the reference does: outputs and all gradients, in torch operations and in C."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from family import MEMBERS, Example, build, example, section
from torch import Tensor, nn

from s2s_cli.model.cells import SSRU, InputGatedCell, MinGRU
from s2s_cli.model.dense import Dense
from s2s_cli.model.kernels import aten, native
from s2s_cli.model.kernels.attention_gru import AttentionGRU
from s2s_cli.model.kernels.backend import passes_name
from s2s_cli.model.kernels.blend import BlendSequence
from s2s_cli.model.kernels.conditional_gru import ConditionalGRU
from s2s_cli.model.kernels.fused import FusedKernel
from s2s_cli.model.kernels.gru import GRUSequence
from s2s_cli.model.kernels.reference import Kernel, ReferenceKernel
from s2s_cli.model.output import CopyOutput
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.native import compiling, library
from s2s_cli.recipe import schema

CPU = torch.device("cpu")
FITTING = {  # odd widths, so that no vector register is ever full
    "attention": section(**{"decoder.hidden": 37, "encoder.hidden": 19, "attention.size": 70, "embedding": 11}),
    "attention that is copied by": section(**{"decoder.hidden": 37, "attention.size": 70, "output": "copy"}),
    "conditional": section(
        **{"attention.query": "intermediate", "decoder.hidden": 37, "encoder.hidden": 19, "attention.size": 70}
    ),
    "deep conditional": section(**{"attention.query": "intermediate", "decoder.layers": 3, "output": "copy"}),
    "deep attention": section(**{"decoder.layers": 3, "decoder.residual": True, "encoder.layers": 2}),
    "initial": section(**{"decoder.context": "initial", "decoder.layers": 2}),
    "every step": section(**{"decoder.context": "every_step", "decoder.feed_previous": False}),
    "attention afterwards": section(
        **{"attention.query": "current", "attention.input_feeding": False, "attention.score": "general"}
    ),
    "ssru": section(**{"cell": "ssru", "decoder.context": "initial", "decoder.layers": 2, "encoder.hidden": 19}),
    "sru": section(**{"cell": "sru", "decoder.context": "every_step", "decoder.hidden": 37}),
    "mingru afterwards": section(
        **{
            "cell": "mingru",
            "attention.query": "current",
            "attention.input_feeding": False,
            "attention.size": 21,
            "decoder.layers": 2,
        }
    ),
    "hybrid": section(**{"encoder.kind": "transformer", "decoder.hidden": 37}),
    "deep every step": section(**{"decoder.context": "every_step", "decoder.layers": 2}),
}
BATCH = example(lengths=(9, 1, 4, 6, 2), target=7)

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
each_fitting = pytest.mark.parametrize("member", FITTING.values(), ids=FITTING.keys())
each_backend = pytest.mark.parametrize(
    "allowed", [pytest.param(False, id="aten"), pytest.param(True, id="native", marks=needs_compiler)]
)


def outcome(model: Seq2Seq, kernel: Kernel, batch: Example = BATCH) -> dict[str, Tensor]:
    """Readouts, and the gradients of all parameters that have one, in float64. What copies reads the attention, too."""
    model.kernel = kernel
    model.zero_grad()
    decoded = model(*batch)
    readout_BTR, copied_by = (
        decoded.readout_BXR,
        [decoded.features.attention_BXS] * isinstance(model.output, CopyOutput),
    )
    (weighted(readout_BTR) + sum(weighted(attention_BTS) for attention_BTS in copied_by)).backward()
    gradients = {name: value.grad.double() for name, value in model.named_parameters() if value.grad is not None}
    return {"readout": decoded.readout_BXR.detach().double()} | gradients


def weighted(values: Tensor) -> Tensor:
    """A sum whose gradient is another one everywhere."""
    return (values.double() * torch.linspace(-1, 1, values.numel(), dtype=torch.float64).view_as(values)).sum()


def relative_error(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Of readout and gradient, each taken as one long vector; the greater of the two."""
    assert actual.keys() == expected.keys()

    def error(names: list[str]) -> float:
        vectors = [torch.cat([outcome[name].flatten() for name in names]) for outcome in (actual, expected)]
        return ((vectors[0] - vectors[1]).norm() / vectors[1].norm()).item()

    return max(error(["readout"]), error([name for name in expected if name != "readout"]))


@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS.keys())
def test_every_member_has_the_same_gradients_under_both_kernels(member: schema.Model) -> None:
    model, batch = build(member), example()
    assert relative_error(outcome(model, FusedKernel(), batch), outcome(model, ReferenceKernel(), batch)) < 1e-10


@each_fitting
def test_float64_equals_the_reference(member: schema.Model) -> None:
    model = build(member)
    fused, reference = outcome(model, FusedKernel()), outcome(model, ReferenceKernel())
    for name, expected in reference.items():
        assert (fused[name] - expected).abs().max() < 1e-10 * max(1, expected.abs().max()), name


@each_fitting
@each_backend
def test_float32_is_close_to_the_reference_in_float64(member: schema.Model, allowed: bool) -> None:
    model = build(member)
    reference = outcome(model, ReferenceKernel())
    assert relative_error(outcome(model.float(), FusedKernel(allowed)), reference) < 1e-5


@each_fitting
@each_backend
def test_bfloat16_is_as_close_to_float64_as_the_reference_in_bfloat16(member: schema.Model, allowed: bool) -> None:
    model = build(member)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    expected = outcome(model, ReferenceKernel())
    model.float()
    with torch.autocast("cpu", torch.bfloat16):
        fused, reference = outcome(model, FusedKernel(allowed)), outcome(model, ReferenceKernel())
    assert relative_error(fused, expected) < min(0.1, 1.5 * relative_error(reference, expected))


@pytest.mark.parametrize("cell", [MinGRU, SSRU])
@torch.inference_mode()
def test_a_long_sequence_in_bfloat16_is_as_exact_in_the_reference(cell: type[InputGatedCell]) -> None:
    """What is rounded at each position would add up."""
    torch.manual_seed(1)
    made = cell(16)
    made.forget_bias.fill_(7.0)
    inputs_BSG, valid_BS = torch.randn(2, 300, made.gate_width).bfloat16(), torch.ones(2, 300, dtype=torch.bool)
    exact_BSH = ReferenceKernel().run_cell(made.double(), inputs_BSG.double(), valid_BS, False)
    kernels = ReferenceKernel(), FusedKernel()
    found = [kernel.run_cell(made.bfloat16(), inputs_BSG, valid_BS, False) for kernel in kernels]
    reference, fused = ((each - exact_BSH).norm() for each in found)
    assert reference < 1.5 * fused
    assert [each.dtype for each in found] == [torch.bfloat16] * 2


@each_fitting
@each_backend
def test_the_same_twice(member: schema.Model, allowed: bool) -> None:
    model = build(member).float()
    first, second = (outcome(model, FusedKernel(allowed)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64).requires_grad_()


@pytest.mark.parametrize("backwards", [False, True])
def test_gradient_of_the_blend(backwards: bool) -> None:
    torch.manual_seed(1)
    valid_BT = torch.tensor([[True, True, True], [True, False, False]])
    tensors = (numbers(2, 3, 8), numbers(2, 4), valid_BT, numbers(4))
    assert torch.autograd.gradcheck(lambda *inputs: BlendSequence.apply(*inputs, backwards, aten), tensors)


@pytest.mark.parametrize("backwards", [False, True])
def test_gradient_of_the_gru(backwards: bool) -> None:
    torch.manual_seed(1)
    valid_BT = torch.tensor([[True, True, True], [True, False, False]])
    tensors = (numbers(2, 3, 12), numbers(2, 4), valid_BT, numbers(12, 4), numbers(12))
    assert torch.autograd.gradcheck(lambda *inputs: GRUSequence.apply(*inputs, backwards, aten), tensors)


def test_gradient_of_the_attention_gru() -> None:
    torch.manual_seed(1)
    valid_BS = torch.tensor([[True, True, True], [True, False, False]])
    weights = (numbers(5 + 12, 4), numbers(12, 6), numbers(12), numbers(5))
    tensors = (numbers(2, 3, 12), numbers(2, 4), numbers(2, 3, 5), numbers(2, 3, 6), valid_BS, *weights)
    assert torch.autograd.gradcheck(lambda *inputs: AttentionGRU.apply(*inputs, aten), tensors)


def test_gradient_of_the_conditional_gru() -> None:
    torch.manual_seed(1)
    valid_BS = torch.tensor([[True, True, True], [True, False, False]])
    weights = (numbers(12, 4), numbers(12), numbers(5 + 12, 4), numbers(12), numbers(12, 6), numbers(12), numbers(5))
    tensors = (numbers(2, 3, 12), numbers(2, 4), numbers(2, 3, 5), numbers(2, 3, 6), valid_BS, *weights)
    assert torch.autograd.gradcheck(lambda *inputs: ConditionalGRU.apply(*inputs, aten), tensors)


@needs_compiler
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("shape", [(9, 37), (2, 5, 37), (0, 37), (37,)], ids=str)
def test_a_dense_layer_is_that_of_torch(monkeypatch, shape: tuple[int, ...], has_bias: bool) -> None:
    """Its products and all gradients, in bfloat16 by the library and by torch."""
    monkeypatch.setattr(native, "multiplies", lambda kind: True)
    torch.manual_seed(1)
    layer, inputs = Dense(37, 70, bias=has_bias), torch.randn(shape, requires_grad=True)
    wanted = [inputs, *layer.parameters()]
    outcomes = []
    for function in (layer, lambda inputs: nn.Linear.forward(layer, inputs)):
        with torch.autocast("cpu", torch.bfloat16):
            products = function(inputs)
        assert products.dtype == torch.bfloat16
        outcomes.append([products.double(), *torch.autograd.grad(weighted(products), wanted)])
    assert [each.dtype for each in outcomes[0]] == [each.dtype for each in outcomes[1]]
    for found, expected in zip(*outcomes, strict=True):
        torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2)
    monkeypatch.setattr(native, "factor", lambda weight_NK: pytest.fail("the library was asked"))
    assert torch.equal(layer(inputs), nn.Linear.forward(layer, inputs))  # in float32 torch does it
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):  # and in decoding
        assert torch.equal(layer(inputs), nn.Linear.forward(layer, inputs))


@pytest.mark.parametrize("member", ["attention", "conditional"])
def test_attention_is_that_of_the_reference(member: str) -> None:
    model = build(FITTING[member])
    state = model.start(BATCH.source_BS, BATCH.lengths_B)
    inputs_BTG = model.decoder.hoist(model.embedding(BATCH.previous_BT), state.memory)
    fused = FusedKernel().unroll(model.decoder, inputs_BTG, state)
    reference = ReferenceKernel().unroll(model.decoder, inputs_BTG, state)
    torch.testing.assert_close(fused.attention_BXS, reference.attention_BXS, rtol=0, atol=1e-12)


@each_backend
@pytest.mark.parametrize("member", ["attention", "conditional"])
@pytest.mark.parametrize("part", ["output_BXH", "context_BXM", "attention_BXS"])
def test_gradients_may_lie_in_memory_as_they_like(part: str, member: str, allowed: bool) -> None:
    """That of a sum is one number, expanded."""
    model, gradients = build(FITTING[member]).float(), []
    model.kernel = FusedKernel(allowed)
    for gradient_of in (
        torch.ones_like,
        lambda values: torch.ones(()).expand_as(values),
        lambda values: torch.ones(values.shape[::-1]).permute(2, 1, 0),
    ):
        values = getattr(model(*BATCH).features, part)
        (gradient,) = torch.autograd.grad(values, [model.encoder.embedding.weight], gradient_of(values.detach()))
        gradients.append(gradient)
    assert torch.equal(gradients[0], gradients[1])
    assert torch.equal(gradients[0], gradients[2])


@each_backend
@pytest.mark.parametrize("member", ["attention", "conditional"])
def test_nothing_outlives_the_outputs(member: str, allowed: bool) -> None:
    model = build(FITTING[member]).float()
    state = model.start(BATCH.source_BS, BATCH.lengths_B)
    inputs_BTG = model.decoder.hoist(model.embedding(BATCH.previous_BT), state.memory)
    context_BTM = FusedKernel(allowed).unroll(model.decoder, inputs_BTG, state).context_BXM
    assert context_BTM is not None
    graph = weakref.ref(context_BTM.grad_fn)
    assert graph() is not None
    del context_BTM
    assert graph() is None


@needs_compiler
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_not_a_number_is_seen(kind: torch.dtype) -> None:
    logits_NV, bias_V = torch.randn(2, 40).to(kind), torch.zeros(40)
    logits_NV[1, 7] = torch.nan
    loss_N, _ = native.cross_entropy(logits_NV, bias_V, torch.tensor([1, 2]), 0.1)
    assert loss_N.isnan().tolist() == [False, True]
    model = build(FITTING["attention"]).to(kind)
    model.kernel = FusedKernel()
    nn.init.constant_(model.embedding.weight, torch.nan)
    assert model(*BATCH).readout_BXR.isnan().all()


@needs_compiler
def test_extreme_numbers_are_saturated_not_wrapped() -> None:
    model = build(FITTING["attention"]).float()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=100)
    fused, reference = outcome(model, FusedKernel()), outcome(model, ReferenceKernel())
    torch.testing.assert_close(fused["readout"], reference["readout"], rtol=1e-4, atol=1e-4)


def python(code: str, **environment: str) -> str:
    """What a new interpreter prints; these variables replace those of the environment."""
    here = str(Path(__file__).parents[2])
    variables = os.environ | {"PYTHONPATH": here, "OMP_NUM_THREADS": "2"} | environment
    result = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Who does it in a process whose environment has these variables, as if it had not looked for the library yet."""

    def name(**environment: str) -> str:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        library.load.cache_clear()
        return passes_name(torch.float32, CPU)

    yield name
    library.load.cache_clear()


def test_without_a_compiler_torch_does_it(name: Callable[..., str], tmp_path: Path) -> None:
    assert name(S2S_CACHE=str(tmp_path), PATH="") == "aten"


def test_with_a_failing_compiler_torch_does_it(name: Callable[..., str], tmp_path: Path) -> None:
    assert name(S2S_CACHE=str(tmp_path), CC="false") == "aten"


def test_with_nowhere_to_write_torch_does_it(name: Callable[..., str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert name(S2S_CACHE=str(file / "cache")) == "aten"


def test_it_can_be_switched_off(name: Callable[..., str], tmp_path: Path) -> None:
    assert name(S2S_CACHE=str(tmp_path), S2S_KERNEL_NATIVE="0") == "aten"
    assert not list(tmp_path.iterdir())


@needs_compiler
def test_a_library_cut_short_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path))
    flags = ["-O0" if flag == "-O3" else flag for flag in compiling.FLAGS]  # to compile it takes a tenth
    made = compiling.compiled(flags)
    content = made.read_bytes()
    made.write_bytes(content[:1000])
    again = compiling.compiled(flags)
    assert len(again.read_bytes()) == len(content)
    assert again == compiling.compiled(flags)


@needs_compiler
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc")
def test_threads_are_those_of_torch() -> None:
    """Those that the library has started go on to work for torch."""
    code = """
import os, sentencepiece, torch
from s2s_cli.model.kernels import native
torch.set_num_threads(2)
numbers = torch.randn(10**7)
before = len(os.listdir("/proc/self/task"))
native.cross_entropy(torch.zeros(1000, 1000), torch.zeros(1000), torch.zeros(1000, dtype=torch.int64), 0.1)
between = len(os.listdir("/proc/self/task"))
numbers.exp_()
print(between - before, len(os.listdir("/proc/self/task")) - between)
"""
    assert python(code) == "1 0"


def test_names_and_types() -> None:
    assert passes_name(torch.float64, CPU) == "aten"
    assert passes_name(torch.float32, torch.device("cuda")) == "aten"
    assert passes_name(torch.float32, CPU) == ("native" if library.load() else "aten")
