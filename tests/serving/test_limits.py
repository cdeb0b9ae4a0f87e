"""Keys, rates and quotas."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2s_cli.errors import DataError, UsageError
from s2s_cli.serving.limits import Account, Keys, Limits, Refused


def test_a_bucket_lets_through_so_many_a_minute():
    account = Account(per_minute=3)
    assert [account.take(now) for now in (100.0, 100.0, 100.0)] == [0, 0, 0]
    assert account.take(100.0) == 20
    assert account.take(119.0) == 1
    assert account.take(120.0) == 0
    assert account.take(10_000.0) == 0 and account.tokens == 2.0


def test_a_rate_may_be_less_than_one_a_minute():
    account = Account(per_minute=0.5)
    assert [account.take(now) for now in (0.0, 1.0, 121.0)] == [0, 119, 0]


def test_keys_are_read_with_their_limits(tmp_path: Path):
    path = tmp_path / "keys"
    path.write_text("# ours\n # 5\nfirst\nsecond 2\nthird#3 - 100\n\n")
    keys = Keys.read(path)
    assert keys.required
    assert keys.account("first").per_minute == float("inf")
    assert keys.account("second").per_minute == 2
    assert keys.account("third#3").most_characters == 100
    keys.account("second")
    with pytest.raises(Refused) as refused:
        keys.account("second")
    assert refused.value.status == 429 and 1 <= (refused.value.retry_after or 0) <= 30
    for key in (None, "", "third", "fourth"):
        with pytest.raises(Refused) as refused:
            keys.account(key)
        assert refused.value.status == 403


@pytest.mark.parametrize(
    "text", ["a b", "a 0", "a -1", "a 1 2 3", "a 1\na 2", "a nan", "", "# nothing", "a 1 x", "a 1 # x"]
)
def test_a_file_without_sound_keys_is_refused(tmp_path: Path, text: str):
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(DataError):
        Keys.read(path)


def test_limits_make_sense():
    with pytest.raises(UsageError, match="read-seconds|greater"):
        Limits(read_seconds=0.0)
    with pytest.raises(UsageError):
        Limits(answer_seconds=float("nan"))
    with pytest.raises(Refused) as refused:
        Limits(texts=2).check_texts(["a", "b", "c"])
    assert refused.value.status == 400
    with pytest.raises(Refused) as refused:
        Limits(characters=3).check_texts(["ab", "cd"])
    assert refused.value.status == 413
