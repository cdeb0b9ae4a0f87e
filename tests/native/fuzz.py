"""Random arrays through every function of a library that watches each access (AddressSanitizer).

    LD_PRELOAD=$(cc -print-file-name=libasan.so) python tests/native/fuzz.py LIBRARY CASES

What lies beside an array within the same memory is compared afterwards, since no sanitizer can tell it.
"""

from __future__ import annotations

import ctypes
import sys

import numpy as np
from random_arrays import RandomArrays

from s2s_cli.native import engine, library, products, training

CASES = [
    (function, variant)
    for function in (*training.FUNCTIONS.values(), *engine.FUNCTIONS.values(), *products.FUNCTIONS.values())
    for variant in function.kinds
]


def main() -> None:
    watched = ctypes.CDLL(sys.argv[1])
    library.load = lambda: watched
    for case in range(int(sys.argv[2])):
        function, variant = CASES[case % len(CASES)]
        found = RandomArrays(function, variant, np.random.default_rng(case))
        for array, parameter in zip(found.arrays, function.parameters, strict=True):
            if array is not None and parameter.kind == "storage" and variant == "float32" and case % 7 == 0:
                array[...] = np.float32([np.nan, np.inf, -np.inf][case % 3])
        function(variant, found.arrays, *found.scalars(), threads=1)
        assert found.gaps_are_untouched(), f"case {case}: {function.name} {variant} wrote beside its arrays"
    print(f"{int(sys.argv[2])} cases")


if __name__ == "__main__":
    main()
