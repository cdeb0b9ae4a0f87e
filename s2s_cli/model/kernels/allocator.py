"""The C library's allocator, told to keep what is freed."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
GIGABYTE = 2**30


def keep_freed_memory() -> None:
    """Keep freed blocks of up to a gigabyte for the next allocation, instead of handing them back to the system.

    A training step frees and takes the same tens of megabytes again and again; fetched anew, each page costs a fault.
    Without glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, GIGABYTE)
    mallopt(M_TRIM_THRESHOLD, GIGABYTE)
