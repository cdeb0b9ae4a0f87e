"""The variants for Arm, under emulation: they compute what the best variant for this machine computes, bit for bit.

Needs a cross compiler and an emulator: on Debian, `gcc-aarch64-linux-gnu` and `qemu-user`.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from random_arrays import EXACT, RandomArrays

from s2s_cli.native import compiling
from s2s_cli.native.calls import Function, Held
from s2s_cli.native.variants import VARIANTS, Variant

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which(COMPILER), reason=f"no {COMPILER}"),
    pytest.mark.skipif(not shutil.which(EMULATOR), reason=f"no {EMULATOR}"),
]

# Reads calls and answers them. A call: which function, the number of words of its record and of its scalars, the number
# of bytes of its arrays, the record, the scalars, the arrays. The answer: the arrays.
DRIVER = """
#include <stdint.h>
#include <stdio.h>

{declarations}
static void (*const FUNCTIONS[])() = {{ {names} }};
static _Alignas(64) char memory[1 << 24];

int main(int count, char **arguments) {{
    int64_t head[4], record[256], scalars[2];
    if (count > 1) return printf("%ld", (long)memory), 0;
    while (fread(head, 8, 4, stdin) == 4) {{
        if (fread(record, 8, head[1], stdin) != head[1] || fread(scalars, 8, head[2], stdin) != head[2]) return 1;
        if (fread(memory, 1, head[3], stdin) != head[3]) return 1;
        if (head[2] == 0) FUNCTIONS[head[0]](record, 1);
        if (head[2] == 1) FUNCTIONS[head[0]](record, scalars[0], 1);
        if (head[2] == 2) FUNCTIONS[head[0]](record, scalars[0], scalars[1], 1);
        fwrite(memory, 1, head[3], stdout);
    }}
    return 0;
}}
"""


class Memory:
    """Arrays one after the other, as the emulated process has them from `start` on."""

    def __init__(self, start: int) -> None:
        self.start, self.content = start, np.zeros(1 << 24, np.uint8)
        self.size = 0

    def place(self, array: np.ndarray) -> np.ndarray:
        """A copy that lies there."""
        begin = self.size
        self.size += -(-array.nbytes // 64) * 64
        placed = self.content[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
        placed[...] = array
        return placed

    def moved(self, words: np.ndarray) -> np.ndarray:
        """Words of a record: of those that are addresses in this memory, those that the other process has."""
        offsets = words - self.content.ctypes.data
        return np.where((offsets >= 0) & (offsets < len(self.content)), offsets + self.start, words)

    def place_lists(self, words: np.ndarray, kept: list) -> np.ndarray:
        """The same record with the address of each list of views of arrays, of which there is a copy then."""
        for views in kept:
            if isinstance(views, ctypes.Array):
                placed = self.place(self.moved(np.array(views, np.int64)))
                words = np.where(words == ctypes.addressof(views), placed.ctypes.data, words)
        return words


@pytest.fixture(scope="module", params=[pytest.param(v, id=v.name) for v in VARIANTS if v.machine in ("aarch64", None)])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of a process that answers calls."""
    variant: Variant = request.param
    folder: Path = tmp_path_factory.mktemp(variant.name)
    symbols = [f"{function.name}_{kind}" for function, kind in EXACT]
    declarations = "\n".join(f"void {symbol}();" for symbol in symbols)
    driver = folder / "driver.c"
    driver.write_text(DRIVER.format(declarations=declarations, names=", ".join(symbols)), encoding="utf-8")
    flags = [*compiling.FLAGS, *variant.flags]
    objects = []
    for source in [driver, *compiling.SOURCES.glob("*.c")]:
        objects.append(str(folder / f"{source.stem}.o"))
        command = [COMPILER, *flags, *compiling.OF_SOURCE.get(source.name, []), "-c", str(source), "-o", objects[-1]]
        subprocess.run(command, check=True)
    subprocess.run([COMPILER, "-static", *objects, "-o", str(folder / "program"), "-lm"], check=True)
    return [EMULATOR, str(folder / "program")]


@pytest.mark.parametrize(("function", "kind"), EXACT, ids=[f"{function.name} {kind}" for function, kind in EXACT])
def test_arm_computes_the_same(program: list[str], function: Function, kind: str) -> None:
    start = int(subprocess.run([*program, "address"], check=True, capture_output=True).stdout)
    calls, expected = b"", b""
    for seed in range(40):
        memory, found = Memory(start), RandomArrays(function, kind, np.random.default_rng(seed))
        scalars = found.scalars()
        arrays = [
            [memory.place(array) for array in argument]
            if isinstance(argument, list)
            else None
            if argument is None
            else memory.place(argument)
            for argument in found.arrays
        ]
        record, kept, _ = Held(function, kind).record(arrays)
        words = memory.moved(memory.place_lists(np.frombuffer(record, np.int64), kept))
        head = np.array([EXACT.index((function, kind)), len(words), len(scalars), memory.size], np.int64)
        calls += head.tobytes() + words.tobytes() + np.array(scalars, np.int64).tobytes()
        calls += memory.content[: memory.size].tobytes()
        function(kind, arrays, *scalars, threads=1)
        expected += memory.content[: memory.size].tobytes()
    answer = subprocess.run(program, input=calls, capture_output=True, check=True).stdout
    assert answer == expected
