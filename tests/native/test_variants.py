"""The library for each kind of processor: which is chosen, and that all of them compute the same."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from random_arrays import EXACT, RandomArrays

from s2s_cli.errors import MachineError, UsageError
from s2s_cli.native import compiling, library, products, variants
from s2s_cli.native.calls import ArrayError, Function
from s2s_cli.native.variants import VARIANTS, Variant

AVX2 = "avx2 fma bmi1 bmi2"
AVX512 = f"{AVX2} avx512f avx512cd avx512bw avx512dq avx512vl"


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch):
    """Pretend to be another machine."""

    def pretend(machine: str, features: str) -> None:
        monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "", "", "", machine)))
        monkeypatch.setattr(variants, "features", lambda: frozenset(features.split()))
        monkeypatch.delenv(variants.CHOICE, raising=False)

    return pretend


@pytest.mark.parametrize(
    ("machine", "features", "expected"),
    [
        ("x86_64", f"sse2 {AVX512} avx512_vnni avx512_bf16", "avx512bf16 avx512vnni avx512 avx2 sse2 plain"),
        (
            "x86_64",
            f"{AVX512} avx512_vnni avx512_bf16 amx_tile amx_bf16 amx_int8",
            "amx avx512bf16 avx512vnni avx512 avx2 sse2 plain",
        ),
        ("x86_64", f"{AVX512} avx_vnni", "avx512 avxvnni avx2 sse2 plain"),
        ("x86_64", f"{AVX2} avx_vnni", "avxvnni avx2 sse2 plain"),
        ("x86_64", "avx2 bmi1 bmi2", "sse2 plain"),
        ("aarch64", "asimd asimddp", "dotprod neon plain"),
        ("arm64", "", "neon plain"),
        ("riscv64", "", "plain"),
    ],
)
def test_the_best_that_the_processor_can_run_comes_first(processor, machine, features, expected) -> None:
    processor(machine, features)
    assert [variant.name for variant in variants.usable()] == expected.split()


def test_another_variant_can_be_asked_for_but_only_one_that_runs_here(processor, monkeypatch) -> None:
    processor("x86_64", AVX2)
    monkeypatch.setenv(variants.CHOICE, "sse2")
    assert [variant.name for variant in variants.usable()] == ["sse2"]
    monkeypatch.setenv(variants.CHOICE, "avx512vnni")
    with pytest.raises(UsageError, match="this processor does not have avx512_vnni, avx512bw") as refused:
        variants.usable()
    assert refused.value.hint == "choose among avx2, sse2, plain"
    monkeypatch.setenv(variants.CHOICE, "neon")
    with pytest.raises(UsageError, match="there is no variant `neon` here"):
        variants.usable()


@pytest.fixture
def afresh(monkeypatch: pytest.MonkeyPatch):
    """As if the library had not been looked for, with an empty cache."""
    library.load.cache_clear()
    yield
    library.load.cache_clear()


@pytest.mark.usefixtures("afresh")
def test_a_variant_that_was_asked_for_is_not_replaced_by_another(monkeypatch, tmp_path: Path) -> None:
    for name, value in {variants.CHOICE: "plain", "CC": "false", "S2S_CACHE": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(MachineError, match="the variant plain cannot be compiled or loaded"):
        library.load()


@pytest.mark.usefixtures("afresh")
def test_what_a_wheel_has_is_loaded_without_a_compiler(monkeypatch, tmp_path: Path) -> None:
    """The best variant that is there; a library for another system is passed over."""
    monkeypatch.setattr(library, "PREBUILT", tmp_path)
    monkeypatch.setattr(library, "compiled", lambda flags: pytest.fail("it was to be compiled"))
    best, *_, last = variants.usable()
    (tmp_path / f"{best.name}.so").write_bytes(b"no library")
    command = ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(tmp_path / f"{last.name}.so")]
    subprocess.run(command, input=b"int answer(void) { return 42; }", check=True)
    loaded = library.load()
    assert loaded is not None and loaded.answer() == 42


@pytest.mark.parametrize("answer", [0, -1])
def test_a_matrix_unit_is_used_only_if_the_system_allows_it(monkeypatch, answer: int) -> None:
    told = f"flags : {AVX512} avx512_vnni avx512_bf16 amx_tile amx_bf16 amx_int8\n"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "", "", "", "x86_64")))
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: told)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace(syscall=lambda *numbers: answer))
    monkeypatch.delenv(variants.CHOICE, raising=False)
    assert variants.usable()[0].name == ("amx" if answer == 0 else "avx512bf16")
    monkeypatch.setenv(variants.CHOICE, "amx")
    if answer:
        with pytest.raises(UsageError, match="this processor does not have amx_tile"):
            variants.usable()


@pytest.mark.slow
def test_a_wheel_gets_all_variants_of_its_platform_which_need_no_openmp(tmp_path: Path) -> None:
    made = compiling.compile_variants(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {f"{variant.name}.so" for variant in made}
    for variant in made:
        needed = subprocess.run(["ldd", str(tmp_path / f"{variant.name}.so")], capture_output=True, text=True).stdout
        assert "omp" not in needed
        if can_run(variant):
            assert ctypes.CDLL(str(tmp_path / f"{variant.name}.so")).multiply_int8


def test_a_compiler_that_does_not_know_a_processor_leaves_a_wheel_the_others(monkeypatch, tmp_path: Path) -> None:
    unknown = {"plain"}

    def compile_library(compiler: list[str], flags: list[str], path: Path) -> None:
        path.with_suffix(".passes.o").touch()
        if path.stem in unknown:
            raise OSError("unrecognised option")
        path.touch()

    monkeypatch.setattr(compiling, "compile_library", compile_library)
    made = [variant.name for variant in compiling.compile_variants(tmp_path)]
    assert made == [variant.name for variant in variants.of_this_machine() if variant.name != "plain"]
    assert sorted(os.listdir(tmp_path)) == sorted(f"{name}.so" for name in made)
    unknown.update(made)
    with pytest.raises(OSError, match="unrecognised option"):
        compiling.compile_variants(tmp_path)


def can_run(variant: Variant) -> bool:
    return variant in variants.of_this_machine() and variant.needs <= variants.features()


def here(fast: str) -> list:
    """The variants as parameters of a fixture. All but those named are slow to compile."""
    return [
        pytest.param(
            variant,
            id=variant.name,
            marks=[
                *([] if can_run(variant) else [pytest.mark.skip(reason="this processor cannot run it")]),
                *([] if variant.name in fast.split() else [pytest.mark.slow]),
            ],
        )
        for variant in VARIANTS
    ]


def compiled(variant: Variant, folder: Path, sources: str, flags: list[str]) -> ctypes.CDLL:
    """A library of these files only."""
    for path in (
        *(compiling.SOURCES / name for name in (*sources.split(), "threads.c")),
        *compiling.SOURCES.glob("*.h"),
    ):
        (folder / path.name).symlink_to(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "SOURCES", folder)
        compiling.compile_library(compiling.compiler(), [*flags, *variant.flags, *compiling.OF_GCC], folder / "made.so")
    return ctypes.CDLL(str(folder / "made.so"))


def call_in(made: ctypes.CDLL, function: Function, kind: str, arrays: list, *scalars: int, threads: int = 1) -> None:
    """Call the function of this library."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "load", lambda: made)
        patch.setattr(function, "_symbols", {})
        function(kind, arrays, *scalars, threads=threads)


@pytest.fixture(scope="module", params=here("amx avx512bf16 avx512vnni avxvnni avx2 sse2 dotprod neon plain"))
def products_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """A library that has the products of one variant."""
    return compiled(request.param, tmp_path_factory.mktemp("variant"), "products.c", compiling.FLAGS)


@pytest.fixture(scope="module")
def multiply(products_of: ctypes.CDLL):
    """Rows × packed weights, into so many outputs or into an array for them."""

    def multiply(rows_RK: np.ndarray, packed_PQ: np.ndarray, outputs: int | np.ndarray) -> np.ndarray:
        is_bytes = rows_RK.dtype == np.int8
        if isinstance(outputs, int):
            outputs = np.full((len(rows_RK), outputs), 77, np.int32 if is_bytes else np.float32)
        kind, arrays = "int8" if is_bytes else "float32", [rows_RK, packed_PQ, outputs, None]
        call_in(products_of, products.FUNCTIONS["multiply"], kind, arrays, threads=2)
        return outputs

    return multiply


SIZES = [(1, 1), (3, 31), (4, 33), (30, 65), (67, 160), (256, 300)]  # inputs and outputs
ROWS = [*range(24), 33, 50]


@pytest.mark.parametrize(("inputs", "outputs"), SIZES, ids=str)
def test_8_bits_are_exact(multiply, inputs: int, outputs: int) -> None:
    random = np.random.default_rng(0)
    weights_NK, rows_RK = (random.integers(-128, 128, (n, inputs)).astype(np.int8) for n in (outputs, max(ROWS)))
    packed_PQ, expected = products.pack(weights_NK), products.multiply_reference(rows_RK, weights_NK)
    for count in ROWS:
        assert np.array_equal(multiply(rows_RK[:count], packed_PQ, outputs), expected[:count]), count


@pytest.mark.parametrize("row", [-128, -127, 127])
@pytest.mark.parametrize("weight", [-128, -127, 127])
def test_the_greatest_sums_are_exact(multiply, row: int, weight: int) -> None:
    inputs = 4098
    packed_PQ = products.pack(np.full((33, inputs), weight, np.int8))
    assert (multiply(np.full((6, inputs), row, np.int8), packed_PQ, 33) == row * weight * inputs).all()


@pytest.mark.parametrize(("inputs", "outputs"), SIZES, ids=str)
def test_floats_are_close_and_a_row_does_not_depend_on_the_others(multiply, inputs: int, outputs: int) -> None:
    random = np.random.default_rng(1)
    weights_NK, rows_RK = (random.standard_normal((n, inputs), np.float32) for n in (outputs, max(ROWS)))
    packed_PQ, expected = products.pack(weights_NK), products.multiply_reference(rows_RK, weights_NK)
    together = multiply(rows_RK, packed_PQ, outputs)
    np.testing.assert_allclose(together, expected, rtol=1e-4, atol=1e-4)
    for count in ROWS:
        assert np.array_equal(multiply(rows_RK[:count], packed_PQ, outputs), together[:count]), count


@pytest.mark.parametrize(("inputs", "outputs"), SIZES, ids=str)
def test_products_of_bfloat16_are_close_and_a_row_does_not_depend_on_the_others(products_of, inputs, outputs) -> None:
    random = np.random.default_rng(3)
    weights_NK, rows_RK = (bfloat16(random.standard_normal((n, inputs), np.float32)) for n in (outputs, max(ROWS)))
    expected, packed_PQ = number(rows_RK) @ number(weights_NK).T, products.pack(weights_NK)

    def multiply(count: int) -> np.ndarray:
        products_RN = np.zeros((count, outputs), np.uint16)
        arrays = [rows_RK[None, :count], packed_PQ, products_RN[None], None]
        call_in(products_of, products.FUNCTIONS["multiply_at"], "bfloat16", arrays, 0, threads=2)
        return products_RN

    np.testing.assert_allclose(number(multiply(max(ROWS))), expected, rtol=1e-2, atol=1e-2)
    assert all(np.array_equal(multiply(count), multiply(max(ROWS))[:count]) for count in ROWS)


def bfloat16(numbers: np.ndarray) -> np.ndarray:
    """Cut off after 16 bits, in uint16."""
    return (numbers.view(np.uint32) >> 16).astype(np.uint16)


def number(stored: np.ndarray) -> np.ndarray:
    """float32 of them."""
    return (stored.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("kind", [np.int8, np.float32])
def test_rows_may_lie_apart_and_weights_in_a_file(multiply, kind: type, tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    weights_NK, wide_RK = (random.integers(-128, 128, (n, 99)).astype(kind) for n in (70, 9))
    packed_PQ = products.pack(weights_NK[:, :50])
    assert packed_PQ.ctypes.data % 64 == 0
    (tmp_path / "packed").write_bytes(bytes(64) + packed_PQ.tobytes())
    mapped_PQ = np.memmap(tmp_path / "packed", packed_PQ.dtype, "r", offset=64, shape=packed_PQ.shape)
    room_RN = np.full((9, 80), 77, np.int32 if kind is np.int8 else np.float32)
    multiply(wide_RK[:, 3:53], mapped_PQ, room_RN[:, 5:75])
    assert np.array_equal(room_RN[:, 5:75], multiply(wide_RK[:, 3:53].copy(), packed_PQ, 70))
    assert (room_RN[:, :5] == 77).all() and (room_RN[:, 75:] == 77).all()


@pytest.fixture(scope="module", params=here("sse2 neon"))
def other(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The engine of one variant. What it computes does not depend on how much it is optimised, which takes time."""
    flags = [flag.replace("-O3", "-O1") for flag in compiling.FLAGS]
    return compiled(request.param, tmp_path_factory.mktemp("variant"), "encoder.c step.c ranking.c products.c", flags)


@pytest.mark.parametrize(("function", "kind"), EXACT, ids=[f"{function.name} {kind}" for function, kind in EXACT])
def test_in_8_bits_all_compute_the_same_to_the_last_bit(other, function, kind) -> None:
    for seed in range(50):
        results = []
        for chosen in (library.loaded(), other):
            found = RandomArrays(function, kind, np.random.default_rng(seed))
            call_in(chosen, function, kind, found.arrays, *found.scalars())
            pairs = zip(function.parameters, found.arrays, strict=True)
            results.append([array.tobytes() for parameter, array in pairs if parameter.role == "written"])
        assert results[0] == results[1], seed


WITHOUT_TORCH = """
import os, sys
import numpy as np
from s2s_cli.native import products

random = np.random.default_rng(0)
weights_NK, rows_RK = (random.integers(-128, 128, (n, 64)).astype(np.int8) for n in (700, 9))
packed_PQ, expected = products.pack(weights_NK), products.multiply_reference(rows_RK, weights_NK)
before = len(os.listdir("/proc/self/task"))

def is_right(threads):
    products_RN = np.zeros((9, 700), np.int32)
    products.multiply(rows_RK, packed_PQ, products_RN, threads=threads)
    return np.array_equal(products_RN, expected)

assert all(is_right(threads) for threads in (1, 2, 3, 8))
after = len(os.listdir("/proc/self/task"))
child = os.fork()
if not child:
    os._exit(0 if is_right(3) else 1)
assert os.waitpid(child, 0)[1] == 0 and is_right(3)
print("torch" in sys.modules, after - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc")
def test_without_torch_it_has_threads_of_its_own_which_end_with_each_call() -> None:
    result = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, timeout=600)
    assert (result.stdout, result.returncode) == ("False 0\n", 0), result.stderr


def test_packed_weights_must_be_those_of_the_rows_and_the_products() -> None:
    packed_PQ = products.pack(np.zeros((64, 32), np.int8))
    for inputs, outputs in [(28, 64), (36, 64), (32, 32), (32, 65)]:
        rows_RK, products_RN = np.zeros((2, inputs), np.int8), np.zeros((2, outputs), np.int32)
        with pytest.raises(ArrayError, match="multiply: [PQ] is"):
            products.multiply(rows_RK, packed_PQ, products_RN, threads=1)
