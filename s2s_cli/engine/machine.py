"""What computes: the C library, or NumPy where there is none, with the arrays of one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from s2s_cli.engine.arithmetic import Arithmetic, Operand
from s2s_cli.engine.passes import REFERENCES, Matrix
from s2s_cli.native import library
from s2s_cli.native.calls import Held
from s2s_cli.native.engine import FUNCTIONS

Argument = np.ndarray | Operand | Matrix | tuple[None, None] | list[np.ndarray] | None


class Call(NamedTuple):
    """A function some of whose arguments are given already. held: the same of the C library, if there is one."""

    machine: Machine
    name: str
    arguments: tuple[Argument, ...]
    held: Held | None

    def hold(self, arguments: Sequence[Argument]) -> Call:
        """With the next arguments as well."""
        held = None if self.held is None else self.held.hold(_arrays(arguments))
        return Call(self.machine, self.name, (*self.arguments, *arguments), held)

    def __call__(self, arguments: Sequence[Argument], *scalars: int) -> None:
        """Call it with the last arguments."""
        if self.held is None:
            REFERENCES[self.name](*self.arguments, *arguments, *scalars)
        else:
            self.held(_arrays(arguments), *scalars, threads=self.machine.threads)


class Machine:
    """arrays: as `s2s_cli.engine.packing` names them. threads: of the C library."""

    def __init__(self, arrays: Mapping[str, np.ndarray], arithmetic: Arithmetic, threads: int = 1) -> None:
        self.arrays, self.arithmetic, self.threads = arrays, arithmetic, threads

    def matrix(self, part: str) -> Matrix:
        """The packed weights of a part."""
        return Matrix(self.arrays[f"{part}.weights"], self.arrays.get(f"{part}.scales"))

    def room(self, rows: int, width: int) -> Operand:
        """For rows that are still to be written."""
        scales_R = np.empty(rows, np.float32) if self.arithmetic.has_scales else None
        return Operand(np.empty((rows, width), self.arithmetic.operands), scales_R)

    def call(self, name: str, arguments: Sequence[Argument] = (), variant: str | None = None) -> Call:
        """A function of `s2s_cli.native.engine` with its first arguments. variant: of the arithmetic by default."""
        if library.load() is None:
            return Call(self, name, tuple(arguments), None)
        held = FUNCTIONS[name].hold(variant or self.arithmetic.name, _arrays(arguments))
        return Call(self, name, tuple(arguments), held)


def _arrays(arguments: Sequence[Argument]) -> list[np.ndarray | list[np.ndarray] | None]:
    """The arrays that C is handed, one after the other."""
    found: list[np.ndarray | list[np.ndarray] | None] = []
    for argument in arguments:
        if isinstance(argument, tuple):
            found.extend(argument)
        else:
            found.append(argument)
    return found
