"""The command `s2s`, also as `python -m s2s_cli`."""

from __future__ import annotations

import contextlib
import ctypes
import os

from s2s_cli import console

# PyTorch keeps a compiled product, of some 0.6 MB, for each shape of matrices, a thousand by default. Everyday
# sentences make 570 of them; those of a corpus with all lengths would fill memory by the hour. Read when torch starts.
MOST_COMPILED_PRODUCTS = "512"

# Parameters of mallopt, and what they are set to, in bytes.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
KEPT_WHEN_FREED, ROOM_ON_TOP = 1 << 30, 64 << 20


def main() -> None:
    """Parse the command line, run one command, exit with its code."""
    console.open_standard_streams()  # before anything else is opened
    for cache in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(cache, MOST_COMPILED_PRODUCTS)
    keep_freed_memory()

    from s2s_cli.cli.app import main as run

    run()


def keep_freed_memory() -> None:
    """Let large tensors be made of memory that is there: asking the system for its pages anew costs 3 % of training."""
    with contextlib.suppress(OSError, AttributeError):  # another C library than that of GNU
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, KEPT_WHEN_FREED)
        mallopt(M_TRIM_THRESHOLD, KEPT_WHEN_FREED)
        mallopt(M_TOP_PAD, ROOM_ON_TOP)


if __name__ == "__main__":
    main()
