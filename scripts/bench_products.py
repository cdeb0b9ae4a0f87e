"""Speed of the C library's matrix products beside those of PyTorch and NumPy, in turn, on one thread.

    OPENBLAS_NUM_THREADS=1 python scripts/bench_products.py
    S2S_KERNEL_VARIANT=avx2 OPENBLAS_NUM_THREADS=1 python scripts/bench_products.py --rounds 10

Rows × inputs × outputs of the products of an attention GRU: few rows for one sentence, many for a batch. In bfloat16,
which is for training, where the processor has an instruction for it. The weights of
this library are packed before, as a model's are; the others take them as they are. A figure is billions of operations
(two for each multiplication with its addition) in a second of processor time, the best of all rounds. `share`: of the
rate of the processor's instruction for it when nothing is read from memory, where the script knows this instruction.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from s2s_cli.model.kernels import native
from s2s_cli.native import products
from s2s_cli.native.compiling import compiler
from s2s_cli.native.variants import usable

ROWS = (1, 2, 5, 10, 40, 320)
WEIGHTS = ((1024, 1536), (512, 512), (512, 8000))  # inputs × outputs
OPERATIONS = 2e8  # in one measurement

# The instruction of a variant for 8 bits, that for floats and for bfloat16, bytes in a vector, and what a register is
# called. That of a matrix unit needs more than registers.
INSTRUCTIONS = {
    "amx": ("", "vfmadd231ps", "", 64, "zmm"),
    "avx512bf16": ("vpdpbusd", "vfmadd231ps", "vdpbf16ps", 64, "zmm"),
    "avx512vnni": ("vpdpbusd", "vfmadd231ps", 64, "zmm"),
    "avxvnni": ("{vex} vpdpbusd", "vfmadd231ps", 32, "ymm"),
    "avx2": ("vpmaddwd", "vfmadd231ps", 32, "ymm"),
}
LOOP = """
void turn(long times) {{
    while (times-- > 0) __asm__ volatile("{body}");
}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    variant = usable()[0].name
    for place, kind in enumerate(["int8", "float32", "bfloat16"][: 3 if native.multiplies(torch.bfloat16) else 2]):
        peak = peak_rate(variant, place)
        told = f", whose instruction makes {peak:.0f}" if peak else ""
        print(f"{kind}, 10⁹ operations a second, variant {variant}{told}")
        for inputs, outputs in WEIGHTS:
            for rows in ROWS:
                print(line(kind, rows, inputs, outputs, peak, options.rounds), flush=True)


def line(kind: str, rows: int, inputs: int, outputs: int, peak: float | None, rounds: int) -> str:
    """The rates of all sides for one size, each side in turn."""
    sides, operations = contenders(kind, rows, inputs, outputs), 2 * rows * inputs * outputs
    best = dict.fromkeys(sides, float("inf"))
    for _ in range(rounds):
        for name, side in sides.items():
            best[name] = min(best[name], seconds_of(side, max(1, round(OPERATIONS / operations))))
    rates = {name: operations / seconds / 1e9 for name, seconds in best.items()}
    share = f" share {rates['s2s'] / peak:4.0%}" if peak else ""
    figures = "  ".join(f"{name} {rate:6.1f}" for name, rate in rates.items())
    return f"{rows:4} × {inputs:4} × {outputs:4}  {figures} {share}"


def contenders(kind: str, rows: int, inputs: int, outputs: int) -> dict[str, Callable[[], object]]:
    """What multiplies the same matrices."""
    if kind == "bfloat16":
        return contenders_in_bfloat16(rows, inputs, outputs)
    random = np.random.default_rng(0)
    if kind == "int8":
        rows_RK, weights_NK = (random.integers(-127, 128, (n, inputs)).astype(np.int8) for n in (rows, outputs))
        products_RN = np.empty((rows, outputs), np.int32)
        tensors = torch.from_numpy(rows_RK), torch.from_numpy(weights_NK).t(), torch.empty(rows, outputs).int()
        others: dict[str, Callable[[], object]] = {"torch": lambda: torch._int_mm(*tensors[:2], out=tensors[2])}
    else:
        rows_RK, weights_NK = (random.standard_normal((n, inputs), np.float32) for n in (rows, outputs))
        products_RN = np.empty((rows, outputs), np.float32)
        tensors = torch.from_numpy(rows_RK), torch.from_numpy(weights_NK).t(), torch.empty(rows, outputs)
        others = {
            "torch": lambda: torch.mm(*tensors[:2], out=tensors[2]),
            "NumPy": lambda: np.matmul(rows_RK, weights_NK.T, out=products_RN),
        }
    arrays = [rows_RK, products.pack(weights_NK), products_RN, None]
    return {"s2s": products.FUNCTIONS["multiply"].bind(kind, arrays, threads=1), **others}


def contenders_in_bfloat16(rows: int, inputs: int, outputs: int) -> dict[str, Callable[[], object]]:
    """The same, as a recurrence multiplies at one of its positions."""
    shapes = ((1, rows, inputs), (outputs, inputs), (1, rows, outputs))
    rows_TRK, weights_NK, products_TRN = (torch.randn(shape).bfloat16() for shape in shapes)
    multiply = native.multiply(weights_NK, rows_TRK, products_TRN)
    return {
        "s2s": lambda: multiply(0),
        "torch": lambda: torch.mm(rows_TRK[0], weights_NK.t(), out=products_TRN[0]),
    }


def seconds_of(call: Callable[[], object], times: int) -> float:
    """Of the processor, for one call."""
    start = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - start) / times


def peak_rate(variant: str, place: int) -> float | None:
    """10⁹ operations a second of an instruction that works on registers alone; None for one unknown to this script."""
    if variant not in INSTRUCTIONS or not INSTRUCTIONS[variant][place]:
        return None
    instruction, (*_, size, register) = INSTRUCTIONS[variant][place], INSTRUCTIONS[variant]
    most = 24 if register == "zmm" else 12
    sums = [i for i in range(most) if i not in (14, 15)]
    body = "".join(f"{instruction} %{register}15, %{register}14, %{register}{i}\\n" for i in sums)
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "peak.c"), Path(folder, "peak.so")
        source.write_text(LOOP.format(body=body), encoding="utf-8")
        subprocess.run([*compiler(), "-O2", "-fPIC", "-shared", str(source), "-o", str(made)], check=True)
        turn = ctypes.CDLL(str(made)).turn
    times, count = 20_000, len(sums)
    seconds = min(seconds_of(lambda: turn(times), 1) for _ in range(100))
    operations = size * 2 if instruction.endswith("busd") else size // 2 if instruction == "vfmadd231ps" else size
    return times * count * operations / seconds / 1e9


if __name__ == "__main__":
    main()
