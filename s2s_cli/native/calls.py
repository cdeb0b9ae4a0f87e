"""The checked call of a C function: arrays in, arrays out.

The name of an array gives its dimensions, as everywhere in this project: `memory_BSM` has three, and B has the same
size in all arrays. C receives one record: the sizes, then a `view` of each array, its address and the strides of its
two outermost dimensions (`c/numbers.h`). The numbers of the innermost dimension are contiguous. Of arrays that come in
a list, the record has the address of the list of their views.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from ctypes import addressof, c_char, c_char_p, c_int, c_int64, c_void_p, cast
from typing import Any, NamedTuple

import numpy as np

from s2s_cli.native import library

_KIND_OF = {np.dtype(kind): kind for kind in ("bool", "int8", "uint8", "int32", "int64", "float32")}
_KIND_OF[np.dtype(np.uint16)] = "bfloat16"  # NumPy has no such type: bfloat16 is stored in arrays of uint16
_DTYPE_OF = {kind: dtype for dtype, kind in _KIND_OF.items()}
_NAMES = {f"torch.{kind}": kind for kind in _KIND_OF.values()}

MOST_THREADS = 1 << 15
"""That a stack has room for in `c/threads.c`."""

ABSENT = "absent"
"""The kind of an array that a variant of a function does not have: None is passed in its place."""


class ArrayError(ValueError):
    """An array that a C function cannot take: a fault of the program, not of its user."""


class Parameter(NamedTuple):
    """An array of a C function.

    name: ends with a letter for each dimension. kind: the number type, or a name for one (see `Function.kinds`). role:
    `read`: copied if its layout is not as declared; `changing`: read, but written by others between two steps of a
    bound call, or `written`: a copy would be useless, so an array with another layout is refused. optional: may be
    None. limits: the least number allowed in it, and the dimension that bounds the greatest (which is less than its
    size, or at most its size if the least is 1). each: the letter of a dimension that counts such arrays, which come in
    a list of that length.
    """

    name: str
    kind: str
    role: str = "read"
    optional: bool = False
    limits: tuple[int, str] | None = None
    each: str = ""

    @property
    def dimensions(self) -> str:
        return self.name.rpartition("_")[2]


class Scalar(NamedTuple):
    """A number that follows the record. below: the dimension of which it is an index."""

    type: type
    below: str = ""


class Layout(NamedTuple):
    """Where an array lies. strides: in numbers, not in bytes. kind: None for types that the library does not know."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    kind: str | None
    writable: bool


def layout(array: Any) -> Layout:
    """The layout of a NumPy array or a PyTorch tensor (without importing PyTorch); an empty one for anything else."""
    if isinstance(array, np.ndarray):
        strides = tuple(stride // array.itemsize for stride in array.strides)
        return Layout(array.ctypes.data, array.shape, strides, _KIND_OF.get(array.dtype), array.flags.writeable)
    if not hasattr(array, "data_ptr"):
        return Layout(0, (), (), None, False)
    kind = _kind_of_tensor(array) if array.is_cpu else None
    return Layout(array.data_ptr(), tuple(array.shape), array.stride(), kind, True)


_KIND_OF_TENSOR: dict[Any, str | None] = {}


def _kind_of_tensor(tensor: Any) -> str | None:
    """Known by its name, so that PyTorch need not be imported."""
    if (dtype := tensor.dtype) not in _KIND_OF_TENSOR:
        _KIND_OF_TENSOR[dtype] = _NAMES.get(str(dtype))
    return _KIND_OF_TENSOR[dtype]


class _Expected(NamedTuple):
    """A parameter as a variant has it. dtype: that of NumPy, None for an array that the variant does not have."""

    parameter: Parameter
    kind: str
    dtype: np.dtype | None
    letters: str
    is_read: bool


class Function:
    """A function of the library, which exports one for each variant: `{name}_{variant}`.

    sizes: the dimensions whose sizes are passed to C, in the order of its record. parameters: likewise. kinds: by
    variant, the number types that names stand for. multiples: pairs of dimensions, the first of which is a multiple of
    the second, by this factor (None: by any). blocks: pairs of dimensions, the first of which is so many numbers for
    each whole or partial block of the second, whose size is given first. sums: a dimension that is as large as two
    others. scalars: the arguments between the record and the number of threads.
    """

    def __init__(
        self,
        name: str,
        sizes: str,
        parameters: Sequence[Parameter],
        kinds: dict[str, dict[str, str]],
        *,
        multiples: Sequence[tuple[str, str, int | None]] = (),
        blocks: Sequence[tuple[str, str, int, int]] = (),
        sums: Sequence[tuple[str, str, str]] = (),
        scalars: Sequence[Scalar] = (),
    ) -> None:
        self.name, self.sizes, self.parameters, self.kinds = name, sizes, parameters, kinds
        self.multiples, self.blocks, self.sums, self.scalars = multiples, blocks, sums, scalars
        self._expected = {variant: [_expected(each, of) for each in parameters] for variant, of in kinds.items()}
        self._symbols: dict[str, Any] = {}

    def __call__(self, variant: str, arrays: Sequence[Any], *scalars: float, threads: int) -> None:
        """Call it. Raises `ArrayError` for an array that is not as declared, unless a copy can be passed instead."""
        Held(self, variant)(arrays, *scalars, threads=threads)

    def hold(self, variant: str, arrays: Sequence[Any]) -> Held:
        """The call with the first arrays, checked once for all; it takes the others, or more of them to hold."""
        return Held(self, variant).hold(arrays)

    def bind(self, variant: str, arrays: Sequence[Any], *, threads: int) -> Bound:
        """The call with these arrays, which live as long as it does; it takes the scalars."""
        return Bound(self, variant, arrays, threads)

    def check_numbers(self, scalars: Sequence[float], dimensions: Mapping[str, int], threads: int) -> None:
        """Raise `ArrayError` for a scalar that is no index of the dimension that it should be, and for a number of
        threads that C has no room for."""
        if not 1 <= threads <= MOST_THREADS:
            raise ArrayError(f"{self.name}: threads are {threads}, not 1 to {MOST_THREADS}")
        for scalar, number in zip(self.scalars, scalars, strict=True):
            if scalar.below and not 0 <= number < dimensions[scalar.below]:
                raise ArrayError(f"{self.name}: {number} is no index of {dimensions[scalar.below]}")

    def symbol(self, variant: str) -> Any:
        """The function of the library."""
        if variant not in self._symbols:
            symbol = getattr(library.loaded(), f"{self.name}_{variant}")
            symbol.argtypes, symbol.restype = [c_void_p, *(each.type for each in self.scalars), c_int], None
            self._symbols[variant] = symbol
        return self._symbols[variant]

    def views(
        self, variant: str, first: int, arrays: Sequence[Any], dimensions: dict[str, int], kept: list[Any]
    ) -> list[int]:
        """The share of the record of some arrays, from the parameter `first` on; their sizes are entered into
        `dimensions`, they or copies of them into `kept`."""
        all_expected, views = self._expected[variant][first : first + len(arrays)], list[int]()
        for expected, array in zip(all_expected, arrays, strict=True):
            if (view := _plain_view(expected, array, dimensions)) is not None:
                kept.append(array)
                views += view
            elif array is None and (expected.parameter.optional or expected.kind == ABSENT):
                views += (0, 0, 0)
            elif expected.parameter.each:
                views += (self._list(expected.parameter, array, expected.kind, dimensions, kept), 0, 0)
            else:
                views += self._view(expected.parameter, array, expected.kind, dimensions, kept)
        for expected, array in zip(all_expected, arrays, strict=True):
            if expected.parameter.limits is not None:
                self._check_limits(expected.parameter, array, dimensions)
        return views

    def check_sizes(self, dimensions: dict[str, int]) -> None:
        """What the sizes of dimensions must be to one another, as far as a variant has them."""
        for total, one, other in self.sums:  # a variant may have no array that tells the total
            if dimensions.setdefault(total, dimensions[one] + dimensions[other]) != dimensions[one] + dimensions[other]:
                sizes = f"{one} is {dimensions[one]} and {other} is {dimensions[other]}"
                raise ArrayError(f"{self.name}: {total} is {dimensions[total]} where {sizes}")
        for large, small, factor in self.multiples:
            if large in dimensions and small in dimensions:
                size, divisor = dimensions[large], dimensions[small]
                if size != divisor * factor if factor else (size % divisor if divisor else size):
                    raise ArrayError(f"{self.name}: {large} is {size} where {small} is {divisor}")
        for many, small, size, each in self.blocks:
            if many in dimensions and dimensions[many] != -(-dimensions[small] // size) * each:
                raise ArrayError(f"{self.name}: {many} is {dimensions[many]} where {small} is {dimensions[small]}")

    def packed_sizes(self, dimensions: Mapping[str, int]) -> bytes:
        """The beginning of what C is handed."""
        return packed([dimensions[letter] for letter in self.sizes])

    def _list(
        self, parameter: Parameter, arrays: Sequence[Any], kind: str, dimensions: dict[str, int], kept: list[Any]
    ) -> int:
        """The address of the views of several arrays."""
        count = len(arrays) if isinstance(arrays, list) else 0
        if not count:
            raise self._fault(parameter, "arrays are missing")
        if dimensions.setdefault(parameter.each, count) != count:
            raise self._fault(parameter, f"arrays are {count} where {parameter.each} is {dimensions[parameter.each]}")
        views = [number for array in arrays for number in self._view(parameter, array, kind, dimensions, kept)]
        kept.append((c_int64 * len(views))(*views))
        return addressof(kept[-1])

    def _view(
        self, parameter: Parameter, array: Any, kind: str, dimensions: dict[str, int], kept: list[Any]
    ) -> tuple[int, int, int]:
        found, array = self._checked(parameter, array, kind, dimensions)
        kept.append(array)
        outer, inner = (*found.strides, 0)[:2]
        return found.address, outer, inner

    def _checked(self, parameter: Parameter, array: Any, kind: str, dimensions: dict[str, int]) -> tuple[Layout, Any]:
        """The array or a copy as C may read or write it, with its layout; its sizes are entered into `dimensions`."""
        found = layout(array)
        if found.kind != kind:
            raise self._fault(parameter, f"numbers are {found.kind or getattr(array, 'dtype', None)}, not {kind}")
        letters = parameter.dimensions
        if len(found.shape) != len(letters):
            raise self._fault(parameter, f"shape is {found.shape}, not of {len(letters)} dimensions")
        for letter, size in zip(letters, found.shape, strict=True):
            if dimensions.setdefault(letter, size) != size:
                raise self._fault(parameter, f"shape is {found.shape} where {letter} is {dimensions[letter]}")
        if _lies_in_rows(found):
            if parameter.role != "written" or (found.writable and _is_free_of_overlap(found)):
                return found, array
        elif parameter.role == "read":
            copy = np.ascontiguousarray(array) if isinstance(array, np.ndarray) else array.contiguous()
            return layout(copy), copy
        raise self._fault(parameter, f"memory, of shape {found.shape} and strides {found.strides}, cannot be used")

    def _check_limits(self, parameter: Parameter, array: Any, dimensions: dict[str, int]) -> None:
        assert parameter.limits is not None
        least, letter = parameter.limits
        greatest = dimensions[letter] - (least == 0)
        if 0 in array.shape:
            return
        numbers = array.tolist() if array.ndim == 1 and len(array) < FEW else [int(array.min()), int(array.max())]
        if not least <= min(numbers) <= max(numbers) <= greatest:
            raise self._fault(parameter, f"numbers must lie between {least} and {greatest}")

    def _fault(self, parameter: Parameter, what: str) -> ArrayError:
        return ArrayError(f"{self.name}: {parameter.name}: its {what}")


class Held:
    """A call some of whose arrays are given and checked already. It can be called by several threads at once."""

    def __init__(self, function: Function, variant: str) -> None:
        self.function, self.variant = function, variant
        self._dimensions, self._count, self._views, self._kept = dict[str, int](), 0, b"", list[Any]()

    def hold(self, arrays: Sequence[Any]) -> Held:
        """The call with the next arrays as well."""
        longer = Held(self.function, self.variant)
        longer._dimensions, longer._kept = dict(self._dimensions), list(self._kept)
        views = self.function.views(self.variant, self._count, arrays, longer._dimensions, longer._kept)
        longer._count, longer._views = self._count + len(arrays), self._views + packed(views)
        return longer

    def __call__(self, arrays: Sequence[Any], *scalars: float, threads: int) -> None:
        """Call it with the last arrays. Raises `ArrayError` as `Function` does."""
        record, _kept, dimensions = self.record(arrays)
        self.function.check_numbers(scalars, dimensions, threads)
        self.function.symbol(self.variant)(record, *scalars, threads)

    def record(self, arrays: Sequence[Any]) -> tuple[bytes, list[Any], dict[str, int]]:
        """What C is handed, with the last arrays; those of them that it points to (some may be copies); and the sizes
        of all dimensions."""
        function, dimensions, kept = self.function, dict(self._dimensions), list[Any]()
        if (count := self._count + len(arrays)) != len(function.parameters):
            raise ArrayError(f"{function.name}: arrays are {count}, not {len(function.parameters)}")
        views = function.views(self.variant, self._count, arrays, dimensions, kept)
        function.check_sizes(dimensions)
        return function.packed_sizes(dimensions) + self._views + packed(views), kept, dimensions


class Bound:
    """A call whose arrays are given and checked already. It takes the scalars."""

    def __init__(self, function: Function, variant: str, arrays: Sequence[Any], threads: int) -> None:
        self.function, self.threads = function, threads
        self.record, self._kept, self._dimensions = Held(function, variant).record(arrays)
        self.symbol = function.symbol(variant)

    def __call__(self, *scalars: float) -> None:
        self.check(*scalars)
        self.symbol(self.record, *scalars, self.threads)

    def check(self, *scalars: float) -> None:
        """Raise `ArrayError` for scalars that do not belong to the arrays."""
        self.function.check_numbers(scalars, self._dimensions, self.threads)


def call_along(calls: Sequence[Bound], positions: range) -> None:
    """For each position, one after the other, make these calls, whose one scalar it is. Python's lock is taken once.

    Raises `ArrayError` for a call that takes something else, and for a position that an array does not have.
    """
    if not (calls and positions):
        return
    for call in calls:
        if [bool(scalar.below) for scalar in call.function.scalars] != [True] or call.threads != calls[0].threads:
            raise ArrayError(f"{call.function.name}: no call of a position, or not by {calls[0].threads} threads")
        call.check(positions[0])
        call.check(positions[-1])
    pointers = [(cast(call.symbol, c_void_p).value, cast(c_char_p(call.record), c_void_p).value) for call in calls]
    steps = packed([pointer or 0 for pair in pointers for pointer in pair])
    run, order = library.loaded().call_along, (positions.start, len(positions), positions.step)
    run(steps, *map(c_int64, (len(calls), *order)), calls[0].threads)


FEW = 100
"""Numbers that Python compares faster than NumPy."""


def packed(numbers: Sequence[int]) -> bytes:
    """Whole numbers of 64 bits, as C has them."""
    return struct.pack(f"{len(numbers)}q", *numbers)


def _expected(parameter: Parameter, kinds: Mapping[str, str]) -> _Expected:
    kind = kinds.get(parameter.kind, parameter.kind)
    return _Expected(parameter, kind, _DTYPE_OF.get(kind), parameter.dimensions, parameter.role == "read")


def _plain_view(expected: _Expected, array: Any, dimensions: dict[str, int]) -> tuple[int, int, int] | None:
    """The view of an array that is as expected and has no gaps, the most common case; None for any other, or for one of
    another shape. The sizes that are not known yet are entered into `dimensions`."""
    if type(array) is np.ndarray:
        flags = array.flags
        if array.dtype != expected.dtype or not (flags.c_contiguous and (expected.is_read or flags.writeable)):
            return None
        # The long way to an address takes half the time of a short call, but a buffer is never read-only or empty.
        is_buffer = flags.writeable and 0 not in array.shape
        address = addressof(c_char.from_buffer(array)) if is_buffer else array.ctypes.data  # type: ignore[arg-type]
    elif hasattr(array, "data_ptr") and array.is_cpu and _kind_of_tensor(array) == expected.kind:
        if not array.is_contiguous():
            return None
        address = array.data_ptr()
    else:
        return None
    shape, letters = array.shape, expected.letters
    if len(shape) != len(letters):
        return None
    for letter, size in zip(letters, shape, strict=True):
        if dimensions.setdefault(letter, size) != size:
            return None
    if len(shape) == 1:
        return address, 1, 0
    inner = 1 if len(shape) == 2 else math.prod(shape[2:])
    return address, shape[1] * inner, inner


def _lies_in_rows(found: Layout) -> bool:
    """Whether the innermost dimension is contiguous, and only the two outermost ones have gaps."""
    return 0 in found.shape or found.shape[-1] == 1 or found.strides[-1] == 1


def _is_free_of_overlap(found: Layout) -> bool:
    """Whether no two elements share memory, as they do in an expanded array."""
    if 0 in found.shape:
        return True
    reach = 1
    for stride, size in sorted((abs(stride), size) for stride, size in zip(found.strides, found.shape, strict=True)):
        if size > 1:
            if stride < reach:
                return False
            reach = stride * (size - 1) + reach
    return True
