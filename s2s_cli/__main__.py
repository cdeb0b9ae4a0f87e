"""The command `s2s`, also as `python -m s2s_cli`."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import os
import sys
import threading

from s2s_cli import console

# PyTorch caches a compiled kernel of some 0.6 MB for each shape of matrix product, a thousand by default. Everyday
# sentences have 570 shapes; a corpus with sentences of all lengths would go on filling memory for hours. Read when
# torch starts.
MOST_COMPILED_PRODUCTS = "512"

# How often a waiting OpenMP thread polls before it sleeps: for less than a millisecond instead of the default of
# fifteen. A polling thread occupies a core that others need, possibly the threads that it waits for. Read at the start.
LOOKS_BEFORE_SLEEP = "10000"

# Threads of NumPy's products, which are small here. To make more of them takes half as long as all the rest of NumPy's
# import, and they would poll too.
PRODUCT_THREADS = "1"

# New objects between two searches for garbage in cycles, instead of 700. Nothing that is imported is garbage, and the
# search takes 6 % of a start.
OBJECTS_BETWEEN_SEARCHES = 10_000

# Parameters of mallopt, and what they are set to, in bytes.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8
KEPT_WHEN_FREED, MOST_OF_OLD_LIBRARIES, ROOM_ON_TOP = 1 << 30, 32 << 20, 64 << 20


def main() -> None:
    """Parse the command line, run one command, exit with its code."""
    console.open_standard_streams()  # before anything else is opened
    gc.set_threshold(OBJECTS_BETWEEN_SEARCHES)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", PRODUCT_THREADS)
    for cache in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(cache, MOST_COMPILED_PRODUCTS)
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", LOOKS_BEFORE_SLEEP)
    keep_freed_memory()

    from s2s_cli.cli.app import main as run

    run()


def keep_freed_memory() -> bool:
    """Keep freed memory for the next large tensors: requesting its pages from the system again costs 3 % of training.

    Returns whether the C library accepts all settings. After it has refused one, no further ones are tried: each of
    them disables its own adaptation to large blocks, which serves better than half of our settings.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not the GNU C library
        return False
    takes = any(mallopt(M_MMAP_THRESHOLD, size) for size in (KEPT_WHEN_FREED, MOST_OF_OLD_LIBRARIES))
    others = {M_TRIM_THRESHOLD: KEPT_WHEN_FREED, M_TOP_PAD: ROOM_ON_TOP, M_ARENA_MAX: 1}  # one arena for all threads
    return takes and all(mallopt(parameter, value) for parameter, value in others.items())


def main_and_leave() -> None:
    """`main` for a process that has nothing else to do: it ends without giving all objects back one by one, which would
    take a tenth of the time of a short translation."""
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if sys.getprofile() or sys.gettrace() or not all(thread.daemon for thread in others):
        sys.exit(code)  # what watches, and what still works, must be waited for
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # what `main` wrote to stdout has been flushed
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    main_and_leave()
