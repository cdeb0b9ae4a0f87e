"""The C library: its variant for this processor, as it came with a wheel or was compiled at first use.

The library is optional. Without a compiler, a folder to write to, or the right to run what was written there, `load`
returns None and the program uses NumPy's and torch's operations.
"""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Iterator
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
    for path in (PREBUILT / f"{variant.name}.so" for variant in variants):
        if path.exists() and (library := _opened(path)):
            return library
    for variant in variants:
        there = False
        for path in _files(variant):
            there = True
            if library := _opened(path):
                return library
        if there:  # what is compiled here cannot be run here, and other variants would take minutes to show it
            break
    if os.environ.get(CHOICE) and variants:
        raise MachineError(f"the variant {variants[0].name} cannot be compiled or loaded", where=CHOICE)
    return None


def loaded() -> ctypes.CDLL:
    """The library. Raises `MachineError` if there is none; check `load` first."""
    if (library := load()) is None:
        raise MachineError("the C library cannot be compiled or loaded", hint="is there a C compiler?")
    return library


def _opened(path: Path) -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL(str(path))
    except OSError:
        return None


def _files(variant: Variant) -> Iterator[Path]:
    """The libraries of a variant that can be had, the best first. They are compiled when they are asked for."""
    choices = [[*FLAGS, *variant.flags, *further] for further in (OF_GCC, [])]
    for find in (cached, compiled):  # first: flags that the compiler does not know are not tried at each start
        for flags in choices:
            try:
                path = find(flags)
            except (OSError, ValueError):
                continue
            if path is not None:
                yield path
