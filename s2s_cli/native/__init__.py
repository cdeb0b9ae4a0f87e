"""The C library: its sources, how it is compiled and loaded, and the checked call: arrays in, arrays out.

`training` and `decoding` declare the functions of `c/training.c` and `c/decoding.c`. A declaration gives the dimensions
and number type of each array, and whether it is read or written; each call is checked against it (`calls`), so that no
function of the library receives an unchecked pointer. Nothing here imports PyTorch; arrays may be NumPy arrays or
tensors on the CPU.
"""
