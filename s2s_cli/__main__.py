"""The command `s2s`, also as `python -m s2s_cli`."""

from __future__ import annotations

import ctypes
import os

from s2s_cli import console

# PyTorch keeps a compiled product, of some 0.6 MB, for each shape of matrices, a thousand by default. Everyday
# sentences make 570 of them; those of a corpus with all lengths would fill memory by the hour. Read when torch starts.
MOST_COMPILED_PRODUCTS = "512"

# How often a thread of OpenMP looks whether the others are done before it sleeps: for less than a millisecond. Its own
# default is fifteen, in which it takes a core that others need, who may be those that it waits for. Read at the start.
LOOKS_BEFORE_SLEEP = "10000"

# Parameters of mallopt, and what they are set to, in bytes.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
KEPT_WHEN_FREED, MOST_OF_OLD_LIBRARIES, ROOM_ON_TOP = 1 << 30, 32 << 20, 64 << 20


def main() -> None:
    """Parse the command line, run one command, exit with its code."""
    console.open_standard_streams()  # before anything else is opened
    for cache in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(cache, MOST_COMPILED_PRODUCTS)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", LOOKS_BEFORE_SLEEP)
    keep_freed_memory()

    from s2s_cli.cli.app import main as run

    run()


def keep_freed_memory() -> bool:
    """Let large tensors be made of memory that is there: asking the system for its pages anew costs 3 % of training.

    Returns whether the C library does all of it. It is asked for nothing more once it has refused: any of these
    settings alone ends its own adaptation to large blocks, which serves better than half of ours.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library than that of GNU
        return False
    takes = any(mallopt(M_MMAP_THRESHOLD, size) for size in (KEPT_WHEN_FREED, MOST_OF_OLD_LIBRARIES))
    others = {M_TRIM_THRESHOLD: KEPT_WHEN_FREED, M_TOP_PAD: ROOM_ON_TOP, M_ARENA_MAX: 1}  # threads: the same memory
    return takes and all(mallopt(parameter, value) for parameter, value in others.items())


if __name__ == "__main__":
    main()
