"""Compiling the C library: at first use, into a cache folder of the user; for a wheel in all variants of its platform.

This module and those that it imports stand on the standard library alone, so that a build can import them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import time
from pathlib import Path

from s2s_cli.folders import cache_folder
from s2s_cli.native.variants import Variant, of_this_machine

SOURCES = Path(__file__).with_name("c")
TIMEOUT = 600.0  # seconds; a busy or small machine takes minutes
REFUSED = 24 * 3600.0
"""Seconds until a compiler is asked again for what it has refused: it may have been replaced."""

FLAGS = ["-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-fopenmp-simd"]  # infinities are kept
OF_GCC = ["-fno-thread-jumps", "-fopenmp"]
"""What Clang does not know, or would need a runtime of its own for. Jump threading would compile the two ends of a
clamp to masked paths, which are a sixth slower."""

OF_SOURCE = {name: ["-ffp-contract=off"] for name in ("encoder.c", "step.c", "ranking.c")}
"""Further flags of one file. In decoding a product and a sum are rounded one after the other, since not all processors
have an instruction that rounds once: translations are to be the same on all of them."""


class Refusal(OSError):
    """The compiler does not know a flag or an instruction. (It may also fail for lack of memory, room or headers.)"""


_OF_REFUSALS = re.compile(
    r"unrecognized|unknown argument|unknown target|unsupported option|bad value|no such instruction|invalid instruction"
)


def cached(flags: list[str]) -> Path | None:
    """The path of the library in the cache, if it was compiled with these flags. Errors: as of `compiled`."""
    return _cached(_key(flags))


def _cached(key: str) -> Path | None:
    for path in cache_folder().glob(f"kernels-{key}-*.so"):
        if path.stem.endswith(digest(path.read_bytes())):
            return path
    return None


def _key(flags: list[str]) -> str:
    """A short hash of all that a library is made of."""
    sources = [path.read_text(encoding="utf-8") for path in sorted(SOURCES.glob("*.[ch]"))]
    machine = [os.uname().machine, _libc()]  # a home may be shared by several
    return digest("\0".join([*sources, *compiler(), *flags, repr(OF_SOURCE), *machine]).encode())


def _libc() -> str:
    """The version of the system's C library, if it tells: older ones cannot load what was linked with this one."""
    known = "CS_GNU_LIBC_VERSION" in os.confstr_names
    return str(os.confstr("CS_GNU_LIBC_VERSION")) if known else ""


def compiled(flags: list[str]) -> Path:
    """The path of the library in the cache, which is compiled if it does not exist.

    Errors: OSError, at once for some hours if the compiler refused it; ValueError if `CC` is not well quoted.
    """
    key = _key(flags)
    if path := _cached(key):
        return path
    import tempfile  # which takes as long to import as the rest of this takes

    cache = cache_folder()
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    refused = cache / f"kernels-{key}.refused"
    if refused.exists() and abs(time.time() - refused.stat().st_mtime) < REFUSED:
        raise OSError(f"the compiler has refused it lately: {refused}")
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        made = Path(folder, "kernels.so")
        try:
            compile_library(compiler(), flags, made)
        except Refusal:
            refused.touch()
            raise
        return made.replace(cache / f"kernels-{key}-{digest(made.read_bytes())}.so")


def compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def digest(content: bytes) -> str:
    """A short hash, of the inputs of a library and of its bytes: loading a truncated one would kill the process."""
    return hashlib.sha256(content).hexdigest()[:16]


def compile_library(compiler: list[str], flags: list[str], path: Path) -> None:
    """Compile the sources side by side, then link them without an OpenMP runtime (see `c/threads.c`).

    Raises Refusal, or another OSError, if the compiler fails.
    """
    from concurrent.futures import ThreadPoolExecutor

    objects = {source: str(path.with_suffix(f".{source.stem}.o")) for source in sorted(SOURCES.glob("*.c"))}
    compiling = [
        [*compiler, *flags, *OF_SOURCE.get(source.name, []), "-c", str(source), "-o", made]
        for source, made in objects.items()
    ]
    with ThreadPoolExecutor() as threads:
        list(threads.map(_run, compiling))
    _run([*compiler, "-shared", *objects.values(), "-o", str(path), "-lm", "-lpthread"])


def _run(command: list[str]) -> None:
    import subprocess

    try:
        english = os.environ | {"LC_ALL": "C"}
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT, env=english)
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace")
        raise (Refusal if _OF_REFUSALS.search(told) else OSError)(f"{error}\n{told}") from error
    except subprocess.TimeoutExpired as error:
        raise OSError(str(error)) from error


def compile_variants(folder: Path) -> list[Variant]:
    """The variants of this machine's architecture that the compiler knows, as `<name>.so`: what a wheel has in
    `library.PREBUILT`.

    Raises OSError if it knows none of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    compiled, fault = list[Variant](), OSError("there is no variant for this machine")
    for variant in of_this_machine():
        try:
            compile_library(compiler(), [*FLAGS, *variant.flags, *OF_GCC], folder / f"{variant.name}.so")
            compiled.append(variant)
        except OSError as error:  # an older compiler, and a new processor
            fault = error
        for part in folder.glob(f"{variant.name}.*.o"):
            part.unlink()
    if not compiled:
        raise fault
    return compiled
