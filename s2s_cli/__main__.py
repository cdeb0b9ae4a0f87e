"""The command `s2s`, also as `python -m s2s_cli`."""

from __future__ import annotations

import os

# PyTorch keeps a compiled product for each shape of matrices, a thousand by default. Sentences have all lengths, so
# shapes hardly come again beyond a batch, and the memory of a training would grow by the hour. Read when torch starts.
MOST_COMPILED_PRODUCTS = "64"


def main() -> None:
    """Parse the command line, run one command, exit with its code."""
    for cache in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(cache, MOST_COMPILED_PRODUCTS)

    from s2s_cli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
