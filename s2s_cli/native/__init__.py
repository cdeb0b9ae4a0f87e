"""The C library: its sources, its variants for processors, how one is compiled and loaded, and the checked call: arrays
in, arrays out.

`training`, `engine` and `products` declare the functions of the files in `c` that are called so. A declaration gives
the dimensions and number type of each array, and whether it is read or written; each call is checked against it
(`calls`), so that no function of the library receives an unchecked pointer. Nothing here imports PyTorch; arrays may be
NumPy arrays or tensors on the CPU.
"""
