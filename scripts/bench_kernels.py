"""Time of a training step on a synthetic batch of the reference workload, and where it goes.

    python scripts/bench_kernels.py [--kernel fused] [--precision bf16] [--threads 2] [--profile]
    python scripts/bench_kernels.py --against decoder.cell=ssru attention.query=current attention.input_feeding=false

With `--against`, the same model with other keys is timed in turn with it.

The workload: embeddings 256, bidirectional GRU 2 × 256, GRU decoder 512, additive attention 512, 8,000 pieces, 64 pairs
of 15 pieces, dropout 0.2, label smoothing 0.1, Adam. It needs about 48 MFLOP of matrix products per target token.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from s2s_cli.model.building import build_model
from s2s_cli.model.kernels.cross_entropy import fused_cross_entropy
from s2s_cli.model.kernels.fused import FusedKernel
from s2s_cli.model.kernels.reference import ReferenceKernel
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe.loading import load_recipe

RECIPE = Path(__file__).parent.parent / "recipes/multi30k-de-en.yaml"
REFERENCE = "attention.query=previous"  # that of the reference workload
FLOP_PER_TOKEN = 48e6
KERNELS = {"reference": ReferenceKernel, "aten": lambda: FusedKernel(native=False), "fused": FusedKernel}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", choices=KERNELS, default="fused")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--length", type=int, default=15)
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="keys of the recipe's `model`")
    parser.add_argument("--against", nargs="+", metavar="KEY=VALUE", help="keys of another model, timed in turn")
    parser.add_argument("--profile", action="store_true", help="print torch's profile of ten steps")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    kind = torch.bfloat16 if options.precision == "bf16" else torch.float32
    step = training_step(options, options.set, kind)
    for _ in range(3):
        step()
    if options.profile:
        profile(step)
    seconds = best_time(step, options.steps)
    if options.against is not None:
        report_ratios(step, training_step(options, options.against, kind), options.steps)
    rate = max(matrix_product_rate(kind) for _ in range(3))
    tokens = options.pairs * options.length
    share = tokens * FLOP_PER_TOKEN / seconds / rate
    print(
        f"{options.kernel} {options.precision}: {seconds * 1e3:.1f} ms a step, {tokens / seconds:,.0f} target tokens/s,"
        f" {share:.0%} of {rate / 1e9:.0f} GFLOP/s"
    )


def report_ratios(step: Callable[[], None], other: Callable[[], None], repeats: int) -> None:
    """How many times as fast the other is, in five rounds, each side in turn."""
    ratios = sorted(best_time(step, repeats) / best_time(other, repeats) for _ in range(5))
    print(f"the other model is {ratios[2]:.2f} × as fast ({ratios[0]:.2f} to {ratios[-1]:.2f} in five rounds)")


def training_step(options: argparse.Namespace, keys: list[str], kind: torch.dtype) -> Callable[[], None]:
    """A whole step on one fixed batch: forward, loss, backward, clipping, Adam."""
    settings = load_recipe(RECIPE, [f"model.{key}" for key in (REFERENCE, *keys)]).model
    model = build_model(settings, options.vocabulary, options.vocabulary)
    model.kernel = KERNELS[options.kernel]()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    shape = (options.pairs, options.length)
    source_BS, target_BT = (torch.randint(4, options.vocabulary, shape) for _ in range(2))
    lengths_B = torch.full((options.pairs,), options.length)
    precision = torch.autocast("cpu", kind) if kind is torch.bfloat16 else contextlib.nullcontext()

    def step() -> None:
        with precision:
            loss = loss_of(model, source_BS, lengths_B, target_BT)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def loss_of(model: Seq2Seq, source_BS: torch.Tensor, lengths_B: torch.Tensor, target_BT: torch.Tensor) -> torch.Tensor:
    """The label-smoothed loss, summed."""
    previous_BT = target_BT.roll(1, dims=1)
    readout_NR = model(source_BS, lengths_B, previous_BT).readout_BXR.flatten(0, 1)
    loss, _ = fused_cross_entropy(readout_NR, model.output.weight, model.output.bias, target_BT.flatten(), 0.1)
    return loss


def best_time(step: Callable[[], None], repeats: int) -> float:
    """Least seconds of a call: other processes only ever add to it."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def matrix_product_rate(kind: torch.dtype) -> float:
    """FLOP/s of one large matrix product."""
    a, b, c = (torch.randn(2048, 2048).to(kind) for _ in range(3))
    return 2 * 2048**3 / best_time(lambda: torch.mm(a, b, out=c), 15)


def profile(step: Callable[[], None]) -> None:
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(10):
            step()
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=35, max_name_column_width=40))


if __name__ == "__main__":
    main()
