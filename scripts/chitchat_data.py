"""The data of recipes/chitchat.yaml, made of the conversations of the Chit-Chat Challenge (Myers et al. 2020, MIT).

    pip install chitchat-dataset
    python -m scripts.chitchat_data [--output data/chitchat]

train, dev and test: a turn, the next turn. A turn is all that one side writes before the other answers, on one line;
pairs with a turn of fewer than 2 or more than 25 words are left out. Split by conversation, in the order of the digests
of their identifiers: the first ones make test, of 1,000 pairs, the next ones dev, of as many, the others train. No pair
stands in two splits, or twice in one. The same package gives the same files.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from scripts.make_family_data import Rows, write

SHORTEST, LONGEST = 2, 25
"""Words of a turn."""
HELD_OUT = 1_000
"""Pairs of dev and of test."""

Turns = Sequence[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("data/chitchat"), help="folder of the three files")
    folder = parser.parse_args().output
    rows = split(read_conversations())
    write(rows, folder)
    print(", ".join(f"{name}: {len(pairs):,} pairs" for name, pairs in rows.items()))


def read_conversations() -> dict[str, list[str]]:
    """The turns of each conversation, by its identifier; the messages of a turn are joined by spaces."""
    try:
        from chitchat_dataset import Dataset
    except ImportError:
        raise SystemExit("error: the package of the data is missing: pip install chitchat-dataset") from None
    return {
        identifier: [" ".join(" ".join(message["text"] for message in turn).split()) for turn in record["messages"]]
        for identifier, record in Dataset().items()
    }


def pairs_of(turns: Turns) -> Iterator[tuple[str, str]]:
    """Each turn with the next one, where both are neither too short nor too long."""
    for turn, answer in pairwise(turns):
        if all(SHORTEST <= len(text.split()) <= LONGEST for text in (turn, answer)):
            yield turn, answer


def split(conversations: Mapping[str, Turns], held_out: int = HELD_OUT) -> Rows:
    """The pairs of each split. What a conversation has beyond the last pair that dev or test needs is left out."""
    order = sorted(conversations, key=lambda identifier: hashlib.sha256(identifier.encode()).digest())
    rows: Rows = {"test": [], "dev": [], "train": []}
    seen: set[tuple[str, str]] = set()
    for identifier in order:
        name = next((name for name in ("test", "dev") if len(rows[name]) < held_out), "train")
        new = [pair for pair in dict.fromkeys(pairs_of(conversations[identifier])) if pair not in seen]
        seen.update(new)
        rows[name] += new if name == "train" else new[: held_out - len(rows[name])]
    return rows


if __name__ == "__main__":
    main()
