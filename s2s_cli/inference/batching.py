"""Cutting lines of unlike length into batches for the search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def token_batches(lengths: Sequence[int], tokens: int, sentences: int) -> Iterator[list[int]]:
    """The indices of each batch, longest lines first, so that lines of like length go together.

    tokens: most tokens of a batch, padding included; a line that is longer alone makes a batch of its own.
    sentences: most lines of a batch.
    Lines of length 0 are in no batch.
    """
    order = sorted((index for index, length in enumerate(lengths) if length), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        size = max(1, min(sentences, tokens // longest))
        yield order[start : start + size]
        start += size
