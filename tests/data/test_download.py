"""Downloads from a server on the loopback interface that breaks off, forgets ranges and changes its mind."""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from s2s_cli.data import download as module
from s2s_cli.data.corpora import locate
from s2s_cli.data.download import download
from s2s_cli.errors import DataError, MachineError, UsageError
from s2s_cli.recipe import schema

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the server does, and what it was asked for."""

    address: str = ""
    content: bytes = CONTENT
    knows_ranges: bool = True
    breaks_after: list[int] = field(default_factory=list)
    """For each of the next requests, after how many bytes the connection breaks."""
    status: int | None = None
    ranges: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    before_answer: Callable[[], None] = lambda: None


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    behaviour = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            behaviour.before_answer()
            asked = self.headers["Range"]
            behaviour.ranges.append(asked)
            behaviour.paths.append(self.path)
            if behaviour.status is not None:
                self.send_error(behaviour.status)
                return
            begin = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and behaviour.knows_ranges else 0
            if begin >= len(behaviour.content):
                self.send_error(416)
                return
            body = behaviour.content[begin:]
            self.send_response(206 if begin else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: behaviour.breaks_after.pop(0)] if behaviour.breaks_after else body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    monkeypatch.setattr(module, "_WAITS", (0.0, 0.0))
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        behaviour.address = f"http://127.0.0.1:{http.server_port}/corpora/train.fr.gz?raw=true"
        yield behaviour
        http.shutdown()


def _cached(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_downloads_once(server: Server, tmp_path: Path) -> None:
    path = download(server.address, SHA256)
    assert path.read_bytes() == CONTENT and path.name == "train.fr.gz"
    assert download(server.address, SHA256.upper()) == path
    assert len(server.ranges) == 1
    assert _cached(tmp_path) == [path]


def test_goes_on_where_the_connection_broke(server: Server) -> None:
    server.breaks_after = [100_000, 50_000]
    assert download(server.address, SHA256).read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]


def test_goes_on_in_a_later_call(server: Server) -> None:
    server.breaks_after = [100_000, 0, 0]
    with pytest.raises(MachineError, match="broke after 100,000 of 300,000 bytes"):
        download(server.address, SHA256)
    server.ranges.clear()
    assert download(server.address, SHA256).read_bytes() == CONTENT
    assert server.ranges == ["bytes=100000-"]


def test_begins_anew_where_the_server_knows_no_ranges(server: Server) -> None:
    server.knows_ranges = False
    server.breaks_after = [100_000]
    assert download(server.address, SHA256).read_bytes() == CONTENT


def test_begins_anew_if_the_beginning_was_of_another_file(server: Server) -> None:
    server.content = bytes(200_000)
    server.breaks_after = [100_000, 0, 0]
    with pytest.raises(MachineError):
        download(server.address, SHA256)
    server.content = CONTENT
    assert download(server.address, SHA256).read_bytes() == CONTENT


def test_a_complete_part_is_taken_as_it_is(server: Server) -> None:
    path = download(server.address, SHA256)
    path.rename(path.with_name(f"{path.name}.part"))
    assert download(server.address, SHA256).read_bytes() == CONTENT


def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        download(server.address, "0" * 64)
    assert SHA256 in str(caught.value) and "0" * 64 in str(caught.value)
    assert _cached(tmp_path) == []


def test_a_missing_file_is_asked_for_once_and_a_failing_server_again(server: Server) -> None:
    server.status = 404
    with pytest.raises(DataError, match="404"):
        download(server.address, SHA256)
    assert len(server.ranges) == 1
    server.status = 503
    with pytest.raises(MachineError, match="503"):
        download(server.address, SHA256)
    assert len(server.ranges) == 4


def test_parallel_downloads_of_one_file(server: Server) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(download(server.address, SHA256))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 4 and len(set(paths)) == 1
    assert paths[0].read_bytes() == CONTENT and len(server.ranges) == 1


def test_parallel_downloads_of_one_file_with_a_wrong_checksum(server: Server, tmp_path: Path) -> None:
    """Each in its turn finds out by itself, although the first one has removed the file that the others wait for."""
    errors: list[BaseException] = []

    def fetch() -> None:
        try:
            download(server.address, "0" * 64)
        except BaseException as error:
            errors.append(error)

    waiting, resume = threading.Event(), threading.Event()

    def wait(*arguments: object) -> None:
        waiting.set()
        resume.wait(120)

    server.before_answer = wait
    threads = [threading.Thread(target=fetch) for _ in range(4)]
    threads[0].start()
    assert waiting.wait(120)
    for thread in threads[1:]:
        thread.start()
    time.sleep(0.2)  # so that they most probably have opened the file and wait for its lock
    resume.set()
    for thread in threads:
        thread.join()
    assert [type(error) for error in errors] == [DataError] * 4
    assert all(SHA256 in str(error) for error in errors)
    assert _cached(tmp_path) == []


def test_characters_that_are_not_sent_are_spelled(server: Server) -> None:
    address = server.address.replace("train.fr", "données à.fr")
    assert download(address, SHA256).name == "données à.fr.gz"
    assert server.paths == ["/corpora/donn%C3%A9es%20%C3%A0.fr.gz?raw=true"]


@pytest.mark.parametrize("address", ["http://[x/a.tsv", "http://host:abc/a.tsv", "http://:80/a.tsv"])
def test_what_is_no_address_is_told_at_once(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S2S_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="no address"):
        download(address, SHA256)
    assert _cached(tmp_path) == []


def test_a_name_that_no_file_has_is_replaced(server: Server) -> None:
    assert download(server.address.replace("train", "a%00b"), SHA256).name == "download"


def test_an_address_in_a_corpus(server: Server, tmp_path: Path) -> None:
    server.content = b"un\tone\n"
    corpus = schema.Corpus(tsv=server.address.replace(".gz", ""), sha256=hashlib.sha256(server.content).hexdigest())
    assert list(locate(corpus, [tmp_path]).pairs()) == [("un", "one")]
