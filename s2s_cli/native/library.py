"""The C library: its variant for this processor, as it came with a wheel or was compiled at first use.

The library is optional. Without a compiler, a folder to write to, or the right to run what was written there, `load`
returns None and the program uses NumPy's and torch's operations.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from s2s_cli.errors import MachineError
from s2s_cli.native.compiling import FLAGS, OF_GCC, cached, compiled
from s2s_cli.native.variants import CHOICE, Variant, usable

PREBUILT = Path(__file__).with_name("built")
"""Where a wheel has the variants of its platform, as `<name>.so`."""


@functools.cache
def load() -> ctypes.CDLL | None:
    """The library, or None.

    `S2S_KERNEL_NATIVE=0` switches it off, `S2S_KERNEL_VARIANT` names a variant, `CC` a compiler, `S2S_CACHE` the cache
    folder. Raises `UserError` if the variant that was named cannot be had.
    """
    if os.environ.get("S2S_KERNEL_NATIVE") == "0":
        return None
    variants = usable()
    for path in _files(variants):
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    if CHOICE in os.environ and variants:
        raise MachineError(f"the variant {variants[0].name} cannot be compiled or loaded", where=CHOICE)
    return None


def loaded() -> ctypes.CDLL:
    """The library. Raises `MachineError` if there is none; check `load` first."""
    if (library := load()) is None:
        raise MachineError("the C library cannot be compiled or loaded", hint="is there a C compiler?")
    return library


def _files(variants: list[Variant]) -> Iterator[Path]:
    """What may be loaded, the best first. A file is compiled when it is asked for."""
    yield from (path for variant in variants if (path := PREBUILT / f"{variant.name}.so").exists())
    for variant in variants:
        choices = [[*FLAGS, *variant.flags, *further] for further in (OF_GCC, [])]
        yield from _found(cached, choices)  # first: flags that the compiler does not know are not tried at each start
        yield from _found(compiled, choices)


def _found(find: Callable[[list[str]], Path | None], choices: list[list[str]]) -> Iterator[Path]:
    """The libraries with these flags that can be had."""
    for flags in choices:
        try:
            path = find(flags)
        except (OSError, ValueError):
            continue
        if path is not None:
            yield path
