"""The C library in the folder `c`: compiled at first use, for this processor, into a cache folder of the user.

The library is optional. Without a compiler, a folder to write to, or the right to run what was written there, `load`
returns None and the program uses torch's operations.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import subprocess
import tempfile
from pathlib import Path

from s2s_cli.errors import MachineError
from s2s_cli.folders import cache_folder

SOURCES = Path(__file__).with_name("c")
COMPILER_TIMEOUT = 120.0  # seconds


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library, or None. `S2S_KERNEL_NATIVE=0` switches it off, `CC` names a compiler, `S2S_CACHE` the cache
    folder."""
    if os.environ.get("S2S_KERNEL_NATIVE") == "0":
        return None
    for flags in (compiler_flags(), [flag for flag in compiler_flags() if flag != "-fopenmp"]):
        try:
            return ctypes.CDLL(str(compiled(flags)))
        except (OSError, ValueError, subprocess.SubprocessError):
            continue
    return None


def loaded() -> ctypes.CDLL:
    """The library. Raises `MachineError` if there is none; check `load` first."""
    if (library := load()) is None:
        raise MachineError("the C library cannot be compiled or loaded", hint="is there a C compiler?")
    return library


def compiler_flags() -> list[str]:
    """The full vector width of this processor, with IEEE infinities and NaN.

    Jump threading would compile the two ends of a clamp to masked paths, which are a sixth slower.
    """
    flags = ["-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fno-thread-jumps"]
    wide = ["-mprefer-vector-width=512"] if platform.machine() in ("x86_64", "AMD64") else []
    return [*flags, *wide, "-fPIC", "-fopenmp-simd", "-fopenmp"]


def compiled(flags: list[str]) -> Path:
    """The path of the library, which is compiled if it does not exist.

    Errors: OSError, subprocess.SubprocessError; ValueError if `CC` is not well quoted.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    sources = [path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.[ch]"))]
    made_of = "\0".join([*sources, *compiler, *flags, processor()])
    cache, key = cache_folder(), digest(made_of.encode())
    for path in cache.glob(f"kernels-{key}-*.so"):
        if path.stem.endswith(digest(path.read_bytes())):
            return path
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        made = Path(folder, "kernels.so")
        compile_library(compiler, flags, made)
        return made.replace(cache / f"kernels-{key}-{digest(made.read_bytes())}.so")


def digest(content: bytes) -> str:
    """A short hash, of the inputs of a library and of its bytes: loading a truncated one would kill the process."""
    return hashlib.sha256(content).hexdigest()[:16]


def compile_library(compiler: list[str], flags: list[str], path: Path) -> None:
    """Compile, then link in a separate step without OpenMP, so that the runtime that torch has loaded is used.

    A second runtime would have its own threads, and two busy pools on the same cores are many times as slow as one.
    """
    undefined = ["-undefined", "dynamic_lookup"] if platform.system() == "Darwin" else []
    objects = {str(source): str(path.with_suffix(f".{source.stem}.o")) for source in sorted(SOURCES.glob("*.c"))}
    for command in (
        *([*compiler, *flags, "-c", source, "-o", made] for source, made in objects.items()),
        [*compiler, "-shared", *undefined, *objects.values(), "-o", str(path), "-lm"],
    ):
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=COMPILER_TIMEOUT)


def processor() -> str:
    """The processor for which the code is compiled, since machines with different processors may share a home
    folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    features = [line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))]
    return "\n".join([platform.machine(), platform.processor(), *sorted(set(features))])
