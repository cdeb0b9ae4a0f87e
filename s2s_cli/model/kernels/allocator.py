"""The C library's allocator, told to keep what is freed."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MEGABYTE = 2**20


def keep_freed_memory() -> None:
    """Keep freed blocks of up to a gigabyte for the next allocation, instead of handing them back to the system.

    A training step frees and takes the same tens of megabytes again and again; fetched anew, each page costs a fault.
    Without glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for threshold in (32 * MEGABYTE, 1024 * MEGABYTE):  # the most that older and newer releases of glibc accept
        mallopt(M_MMAP_THRESHOLD, threshold)
    mallopt(M_TRIM_THRESHOLD, 1024 * MEGABYTE)
