"""The C library: its sources, how it is compiled and loaded, and the checked call: arrays in, arrays out.

`training` and `decoding` declare the functions of `c/training.c` and `c/decoding.c`. A declaration says of each array
its dimensions and number type, and whether it is read or written; each call is checked against it (`calls`), so that no
function of the library ever sees a pointer that was not checked. Nothing here imports PyTorch: a tensor on the CPU is
as good as a NumPy array.
"""
