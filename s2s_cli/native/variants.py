"""The processors that the C library is compiled for: one source, in several variants.

In 8 bits all give the same results, bit for bit.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import NamedTuple

from s2s_cli.errors import UsageError

CHOICE = "S2S_KERNEL_VARIANT"
"""Environment variable with the name of a variant, to be used instead of the best one: to compare, or to test."""


class Variant(NamedTuple):
    """machine: the architecture, None for all. needs: features of the processor, by their names in /proc/cpuinfo.
    flags: of the compiler."""

    name: str
    machine: str | None
    needs: frozenset[str]
    flags: tuple[str, ...]


def _variant(name: str, machine: str | None, needs: str, flags: str) -> Variant:
    return Variant(name, machine, frozenset(needs.split()), tuple(flags.split()))


_AVX2, _AVX2_FLAGS = "avx2 fma bmi1 bmi2", "-mavx2 -mfma -mbmi -mbmi2"
_AVX512 = f"{_AVX2} avx512f avx512cd avx512bw avx512dq avx512vl"
_AVX512_FLAGS = f"{_AVX2_FLAGS} -mavx512f -mavx512cd -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512"
_VNNI, _VNNI_FLAGS = f"{_AVX512} avx512_vnni", f"{_AVX512_FLAGS} -mavx512vnni"
_BF16, _BF16_FLAGS = f"{_VNNI} avx512_bf16", f"{_VNNI_FLAGS} -mavx512bf16"
VARIANTS = (
    _variant("amx", "x86_64", f"{_BF16} amx_tile amx_bf16 amx_int8", f"{_BF16_FLAGS} -mamx-tile -mamx-bf16 -mamx-int8"),
    _variant("avx512bf16", "x86_64", _BF16, _BF16_FLAGS),
    _variant("avx512vnni", "x86_64", _VNNI, _VNNI_FLAGS),
    _variant("avx512", "x86_64", _AVX512, _AVX512_FLAGS),
    _variant("avxvnni", "x86_64", f"{_AVX2} avx_vnni", f"{_AVX2_FLAGS} -mavxvnni"),
    _variant("avx2", "x86_64", _AVX2, _AVX2_FLAGS),
    _variant("sse2", "x86_64", "", ""),
    _variant("dotprod", "aarch64", "asimddp", "-march=armv8.2-a+dotprod"),
    _variant("neon", "aarch64", "", ""),
    _variant("plain", None, "", "-DPLAIN"),
)
"""The best first. Compilers of several years know the flags, unlike names of levels such as x86-64-v3."""


def of_this_machine() -> list[Variant]:
    """Those of its architecture, whether this processor can run them or not."""
    machine = os.uname().machine.replace("arm64", "aarch64")
    return [variant for variant in VARIANTS if variant.machine in (machine, None)]


def usable() -> list[Variant]:
    """Those that this machine can run, the best first; or the one that the environment variable names.

    Raises `UsageError` if there is no such variant, or this machine cannot run it.
    """
    has, name = features(), os.environ.get(CHOICE)
    found = [variant for variant in of_this_machine() if variant.needs <= has]
    if not name:
        return found
    for variant in of_this_machine():
        if variant.name == name and variant in found:
            return [variant]
    lacking = next((sorted(variant.needs - has) for variant in of_this_machine() if variant.name == name), [])
    what = f"this processor does not have {', '.join(lacking)}" if lacking else f"there is no variant `{name}` here"
    raise UsageError(what, where=f"{CHOICE}={name}", hint=f"choose among {', '.join(each.name for each in found)}")


_OF_MACOS = {"hw.optional.avx2_0": _AVX2, "hw.optional.arm.FEAT_DotProd": "asimddp"}


def features() -> frozenset[str]:
    """What the processor can do, as far as it matters here and the system allows it; nothing if it does not tell."""
    if sys.platform == "darwin":
        return frozenset(feature for name, group in _OF_MACOS.items() if _sysctl(name) for feature in group.split())
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    told = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    found = frozenset(told.partition(":")[2].split())
    return found if "amx_tile" not in found or _may_use_tiles() else found - {"amx_tile"}


def _may_use_tiles() -> bool:
    """Ask Linux for the registers of AMX, which a process may use from then on, and those that it forks. A sandbox may
    forbid it."""
    arch_prctl, request_permission, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request_permission, tile_data) == 0


def _sysctl(name: str) -> int:
    value, size = ctypes.c_int(), ctypes.c_size_t(ctypes.sizeof(ctypes.c_int))
    failed = ctypes.CDLL(None).sysctlbyname(name.encode(), ctypes.byref(value), ctypes.byref(size), None, 0)
    return 0 if failed else value.value
