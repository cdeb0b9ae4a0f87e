"""What a request may ask for, and who may ask how often."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from s2s_cli.errors import DataError, UsageError
from s2s_cli.text.files import read_lines


class Refused(Exception):
    """A request that is answered by an error. status: of HTTP. retry_after: seconds until it may be made again."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.retry_after = status, message, retry_after


@dataclass(frozen=True)
class Limits:
    """Of all requests. A value that makes no sense raises UsageError."""

    body_bytes: int = 1 << 20
    """Of the body of a request."""
    texts: int = 500
    """Most texts of a request."""
    characters: int = 50_000
    """Most characters of all its texts."""
    alternatives: int = 10
    """Most translations of a text that a request may ask for."""
    waiting: int = 2000
    """Most parts of texts (sentences) that may wait when another request comes."""
    read_seconds: float = 15.0
    """Time until a request has come completely."""
    answer_seconds: float = 60.0
    """Time until it must be answered."""
    stop_seconds: float = 20.0
    """Time after SIGTERM until everything is answered or given up."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 < value < math.inf:
                raise UsageError(f"must be greater than 0, not {value}", where=f"--{name.replace('_', '-')}")

    def check_texts(self, texts: Iterable[str]) -> int:
        """The characters of the texts. Raises Refused if these are too many, or the texts."""
        lengths = [len(text) for text in texts]
        if len(lengths) > self.texts:
            raise Refused(400, f"Invalid request: {len(lengths)} texts exceed the limit of {self.texts}")
        if sum(lengths) > self.characters:
            raise Refused(413, f"Invalid request: {sum(lengths)} characters exceed the limit of {self.characters}")
        return sum(lengths)


@dataclass
class Account:
    """What somebody has asked for under a key. Requests are let through as tokens fill a bucket: so many a minute."""

    per_minute: float = math.inf
    most_characters: float = math.inf
    characters: int = 0
    tokens: float = field(init=False)
    filled: float = field(init=False, default=-math.inf)

    def __post_init__(self) -> None:
        self.tokens = self._most_tokens

    @property
    def _most_tokens(self) -> float:
        """In the bucket, which holds a request at least: with less it would never let one through."""
        return max(1.0, self.per_minute)

    def take(self, now: float) -> int:
        """Let one request through, or tell in how many seconds there may be one; 0 if it was let through."""
        if self.per_minute == math.inf:
            return 0
        if self.filled > -math.inf:
            self.tokens = min(self._most_tokens, self.tokens + (now - self.filled) * self.per_minute / 60)
        self.filled = now
        if self.tokens < 1:
            return max(1, math.ceil(round((1 - self.tokens) * 60 / self.per_minute, 6)))
        self.tokens -= 1
        return 0


class Keys:
    """The accounts, by key. Without a file, everybody has the same one, without limits, and any key is as good as none.

    Keys are kept as SHA-256, by which they are looked up: how long that takes tells nothing of a key.
    """

    def __init__(self, accounts: dict[bytes, Account] | None = None) -> None:
        self._accounts, self._everybody = accounts, Account()

    @property
    def required(self) -> bool:
        """Whether a request needs a key."""
        return self._accounts is not None

    @staticmethod
    def read(path: Path) -> Keys:
        """From a file with a line for each key: KEY [REQUESTS-PER-MINUTE [CHARACTERS]]; `-` stands for no limit. A
        line that begins with `#` is a comment; elsewhere it may be part of a key.

        Raises DataError, with the line, for one that is not so.
        """
        accounts = {}
        for number, line in enumerate(read_lines(path), start=1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            try:
                values = [math.inf if word == "-" else float(word) for word in [*words[1:], "-", "-"]]
                if len(words) > 3 or any(not value > 0 for value in values):
                    raise ValueError
            except ValueError:
                hint = "a line is KEY [REQUESTS-PER-MINUTE [CHARACTERS]], with `-` for no limit"
                raise DataError("not a key with its limits", where=f"{path}:{number}", hint=hint) from None
            if (digest := _digest(words[0])) in accounts:
                raise DataError("a key that stands above already", where=f"{path}:{number}")
            accounts[digest] = Account(values[0], values[1])
        if not accounts:
            raise DataError("there is no key in it", where=path)
        return Keys(accounts)

    def account(self, key: str | None) -> Account:
        """The account of a key, which makes a request now. Raises Refused (403, 429)."""
        if self._accounts is None:
            return self._everybody
        if not key:
            raise Refused(403, "Please contact the server operator to get an API key")
        account = self._accounts.get(_digest(key))
        if account is None:
            raise Refused(403, "Invalid API key")
        if seconds := account.take(time.monotonic()):
            raise Refused(429, "Slowdown: too many requests per minute", retry_after=seconds)
        return account


def _digest(key: str) -> bytes:
    import hashlib  # not for `s2s serve --help`

    return hashlib.sha256(key.encode("utf-8", errors="surrogatepass")).digest()
