"""Arrays as a declaration wants them, of random sizes, with random gaps between their rows, or none. NumPy alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from s2s_cli.native import engine, products
from s2s_cli.native.calls import ABSENT, Function, Parameter

EXACT = [
    (function, kind)
    for function in (*engine.FUNCTIONS.values(), *products.FUNCTIONS.values())
    for kind in function.kinds
    if kind.endswith("int8") or function.name == "rank_mean"
]
"""The functions, and their variants, that compute the same on every processor, to the last bit."""

MARK = 77  # fills the gaps between the rows of what is written: nobody may touch it


class RandomArrays:
    """Arguments of a function. roots: the arrays, without gaps, that hold each argument and the gaps around it; not
    of lists of arrays, which are only read."""

    def __init__(self, function: Function, variant: str, random: np.random.Generator, most: int = 70) -> None:
        self.function, self.variant, self.random = function, variant, random
        self.sizes = self._sizes(most)
        self.roots: list[np.ndarray | None] = []
        self.arrays = [self._argument(parameter) for parameter in function.parameters]

    def scalars(self) -> tuple[Any, ...]:
        """In the order of the function: an index, or what a ranking and a smoothing take."""
        sizes, name = self.sizes, self.function.name
        match name:
            case "rank" | "rank_mean":
                return int(self.random.integers(0, sizes["V"])), int(self.random.integers(0, sizes["V"]))
            case "read":
                return (int(self.random.integers(0, 2)),)
            case "cross_entropy":
                return (0.1,)
        return tuple(int(self.random.integers(0, sizes[scalar.below])) for scalar in self.function.scalars)

    def gaps_are_untouched(self) -> bool:
        """Whether nothing but the arrays themselves was written to."""
        for parameter, root, array in zip(self.function.parameters, self.roots, self.arrays, strict=True):
            if root is not None and array is not None and parameter.role == "written":
                saved = array.copy()
                array[...] = MARK
                untouched = bool((root == MARK).all())
                array[...] = saved
                if not untouched:
                    return False
        return True

    def _sizes(self, most: int) -> dict[str, int]:
        parameters = self.function.parameters
        letters = sorted({letter for parameter in parameters for letter in parameter.dimensions + parameter.each})
        sizes = {letter: int(self.random.integers(1, most)) for letter in letters}
        if self.random.random() < 0.1:
            sizes[next(letter for letter in "bBRN" if letter in sizes)] = 0  # sentences, or rows
        if "C" in sizes:
            sizes["C"] = int(self.random.integers(0, 9))
        if "E" in sizes:
            sizes["E"] = int(self.random.integers(1, 5))
        if self.function.name in ("step", "project", "rank"):
            sizes["B"] = max(1, sizes["B"])
        for large, small, factor in self.function.multiples:
            sizes[large] = sizes[small] * (factor or int(self.random.integers(1, 20)))
        for total, one, other in self.function.sums:
            sizes[total] = sizes[one] + sizes[other]
        for many, small, size, numbers in self.function.blocks:
            sizes[many] = -(-sizes[small] // size) * numbers
        return sizes

    def _argument(self, parameter: Parameter) -> np.ndarray | list[np.ndarray | None] | None:
        if not parameter.each:
            return self._array(parameter)
        place = len(self.roots)
        arrays = [self._array(parameter) for _ in range(self.sizes[parameter.each])]
        self.roots[place:] = [None]
        return None if arrays[0] is None else arrays

    def _array(self, parameter: Parameter) -> np.ndarray | None:
        kind = self.function.kinds[self.variant].get(parameter.kind, parameter.kind)
        if kind == ABSENT or (parameter.optional and self.random.random() < 0.5):
            self.roots.append(None)
            return None
        shape = tuple(self.sizes[letter] for letter in parameter.dimensions)
        values = self._values(parameter, kind, shape)
        gaps = self.random.integers(0, 4, len(shape)) * (self.random.random() < 0.7)
        gaps[-1] *= len(shape) > 1
        root = np.full([size + gap for size, gap in zip(shape, gaps, strict=True)], MARK, values.dtype)
        array = root[tuple(slice(gap, gap + size) for size, gap in zip(shape, gaps, strict=True))]
        array[...] = values
        self.roots.append(root)
        if len(shape) > 2 and self.random.random() < 0.3:  # the two outermost dimensions in the other order
            root = np.ascontiguousarray(root.swapaxes(0, 1))
            self.roots[-1] = root
            array = root.swapaxes(0, 1)[tuple(slice(gap, gap + size) for size, gap in zip(shape, gaps, strict=True))]
        if parameter.role == "read" and self.random.random() < 0.3:  # a view whose rows do not lie side by side
            array = np.repeat(array, 2, axis=-1)[..., ::2]
        return array

    def _values(self, parameter: Parameter, kind: str, shape: tuple[int, ...]) -> np.ndarray:
        if parameter.limits is not None:
            least, letter = parameter.limits
            values = self.random.integers(least, max(least + 1, self.sizes[letter] + least), shape)
            return values
        if kind == "bool":
            values = self.random.random(shape) < 0.7
            values[..., :1] = True
            return values
        if kind == "uint8":
            return self.random.integers(0, 256, shape).astype(kind)
        if "int" in kind:
            return self.random.integers(-127, 128, shape).astype(kind)
        numbers = self.random.standard_normal(shape).astype(np.float32)
        if parameter.kind == "scale":
            numbers = np.abs(numbers) / 100 + 1e-4
        if parameter.name in ("weights_PQ", "weights_scales_G"):
            numbers /= 8  # of a recurrence: it would amplify any difference
        if parameter.name.startswith("keys") and self.function.name == "step":
            numbers = np.exp(numbers)  # as the attention reads them
        if parameter.name.startswith("attention"):
            numbers = np.exp(numbers) / np.exp(numbers).sum(axis=-1, keepdims=True)
        return (numbers.view(np.uint32) >> 16).astype(np.uint16) if kind == "bfloat16" else numbers
