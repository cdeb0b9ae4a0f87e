"""The data for dialogue: pairs of turns, kept apart by conversation."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from scripts.chitchat_data import pairs_of, read_conversations, split

CONVERSATIONS = {
    f"id-{number}": ["hi there", *(f"this is {number} turn {turn}" for turn in range(number % 7 + 2)), "too"]
    for number in range(60)
}


def test_a_pair_is_a_turn_and_the_next_one_of_a_fitting_length():
    turns = ["a b", "c d", "e", "f g", " ".join("x" * 25), " ".join("x" * 26), "h i"]
    assert list(pairs_of(turns)) == [("a b", "c d"), ("f g", turns[4])]


def test_conversations_are_kept_apart_and_all_pairs_are_distinct():
    rows = split(CONVERSATIONS, held_out=20)
    assert [len(rows["test"]), len(rows["dev"])] == [20, 20]
    pairs = [pair for each in rows.values() for pair in each]
    assert len(set(pairs)) == len(pairs)
    owners = {name: {answer.split()[2] for _, answer in each} for name, each in rows.items()}
    assert not (owners["test"] & owners["dev"] or owners["test"] & owners["train"] or owners["dev"] & owners["train"])
    assert sum(map(len, owners.values())) == 60
    assert split(dict(reversed(CONVERSATIONS.items())), held_out=20) == rows  # whatever the order of the package


def test_the_messages_of_a_turn_are_one_line(monkeypatch: pytest.MonkeyPatch):
    record = {"messages": [[{"text": "Hello\n"}, {"text": " you\tthere"}], [{"text": "Hi"}]]}
    monkeypatch.setitem(sys.modules, "chitchat_dataset", SimpleNamespace(Dataset=lambda: {"x": record}))
    assert read_conversations() == {"x": ["Hello you there", "Hi"]}
    monkeypatch.setitem(sys.modules, "chitchat_dataset", None)
    with pytest.raises(SystemExit, match="pip install chitchat-dataset"):
        read_conversations()
