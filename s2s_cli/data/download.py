"""Downloads into a cache folder: made once, resumable, checked by SHA-256."""

from __future__ import annotations

import fcntl
import http.client
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from s2s_cli import atomic, console
from s2s_cli.errors import DataError, MachineError, UsageError
from s2s_cli.folders import cache_folder
from s2s_cli.sealed import file_sha256

_BLOCK = 1 << 20
_TIMEOUT = 30.0
_WAITS = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each new attempt."""


def is_address(path: str) -> bool:
    return path.startswith(("https://", "http://"))


def download(url: str, sha256: str) -> Path:
    """The file at `url`, from the cache if it was downloaded before.

    An interrupted download is resumed where it stopped, in this call or in a later one. Raises UsageError for what is
    no address, DataError if the content has another SHA-256 or the address does not exist, MachineError if the server
    cannot be reached.
    """
    name = _name_of(url)
    path = cache_folder() / sha256[:16].lower() / name
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.with_name(f"{name}.part")) as part:
        if path.exists():
            Path(part.name).unlink()
            return path
        resumed = part.tell() > 0
        _fetch(url, part)
        if resumed and file_sha256(Path(part.name)) != sha256.lower():
            part.truncate(0)  # the beginning belongs to another file than the server has now
            _fetch(url, part)
        found = file_sha256(Path(part.name))
        if found != sha256.lower():
            Path(part.name).unlink()
            raise DataError(
                f"the download has the SHA-256 {found}, but the recipe says {sha256.lower()}",
                where=url,
                hint="if the file was changed on purpose, put its new SHA-256 into the recipe",
            )
        os.fsync(part.fileno())
        os.replace(part.name, path)
    return path


def _name_of(url: str) -> str:
    """The name of the file at an address. Raises UsageError if it cannot be one."""
    try:
        parts = urllib.parse.urlsplit(url)
        if not parts.hostname:
            raise ValueError("it names no server")
        parts.port  # noqa: B018  # raises ValueError if it is none
    except ValueError as error:
        raise UsageError(f"this is no address: {error}", where=url) from error
    name = Path(urllib.parse.unquote(parts.path)).name
    return name if name.isprintable() and name else "download"


@contextmanager
def _locked(path: Path) -> Iterator[IO[bytes]]:
    """The file, opened to append and locked: one process downloads, others wait for it."""
    while True:
        with path.open("ab") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            if atomic.is_at(path, part.fileno()):  # the holder of the lock before did not remove or rename it
                yield part
                return


def _fetch(url: str, part: IO[bytes]) -> None:
    """Append to `part` what is missing, in several attempts, each of which resumes where the last one stopped."""
    for wait in (*_WAITS, None):
        try:
            _request(url, part)
            return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise DataError(f"the server answers {error.code} {error.reason}", where=url) from error
            reason = f"the server answers {error.code}"
        except (OSError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        if wait is not None:
            time.sleep(wait)
    raise MachineError(f"download failed: {reason}", where=url, hint="run the command again to resume it")


def _request(url: str, part: IO[bytes]) -> None:
    """One attempt. Raises OSError or HTTPException if the connection breaks."""
    begin = part.seek(0, os.SEEK_END)
    spelled = urllib.parse.quote(url, safe="%/:?#[]@!$&'()*+,;=~")  # other characters, such as é, are not sent
    request = urllib.request.Request(spelled, headers={"Range": f"bytes={begin}-"} if begin else {})
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and begin:
            return  # nothing is missing, if the checksum agrees
        raise
    with response:
        if begin and response.status != http.HTTPStatus.PARTIAL_CONTENT:
            part.truncate(0)  # a server without ranges sends the whole file
            begin = 0
        length = response.headers["Content-Length"]
        total = None if length is None else begin + int(length)
        name = Path(part.name).stem
        with console.progress(f"download {name}", total=total, unit="B", start=begin) as bar:
            while block := response.read(_BLOCK):
                part.write(block)
                bar.update(len(block))
        part.flush()
        if total is not None and part.tell() < total:
            raise ConnectionError(f"the connection broke after {part.tell():,} of {total:,} bytes")
