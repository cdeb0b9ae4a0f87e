"""The server as a process: signals, workers that die, clients that are slow, and what the command refuses."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from serving_process import Answer, Server, answer_of
from starts import PATIENCE, Started

from s2s_cli import Translator

TEXTS = [f"guten Tag {chr(97 + number % 26)}. ja {chr(97 + number % 7)}" for number in range(60)]


class Load:
    """Clients that ask for one text after the other, each on a connection of its own, until all were answered."""

    def __init__(self, server: Server, clients: int = 6) -> None:
        self.answers: dict[int, Answer] = {}
        self.refused = 0
        self._server, self._numbers = server, iter(range(len(TEXTS)))
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                number = next(self._numbers, None)
            if number is None:
                return
            try:
                connection = self._server.connect()
                connection.connect()
                fields = f"q={TEXTS[number]}&source=de&target=en".encode()
                connection.request("POST", "/translate", fields, {"Content-Type": "application/x-www-form-urlencoded"})
            except ConnectionError:
                self.refused += 1
                continue
            try:
                self.answers[number] = answer_of(connection)
            except ConnectionResetError:  # it had not been accepted
                self.refused += 1
            finally:
                connection.close()

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while len(self.answers) < count:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def end(self) -> None:
        for thread in self._threads:
            thread.join()


def workers_of(process: int) -> list[int]:
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


def assert_right(load: Load, german: Translator) -> None:
    expected = german.translate(TEXTS)
    for number, answer in load.answers.items():
        assert answer.status == 200, answer
        assert answer.body["translatedText"] == expected[number].text


def test_no_request_is_lost_when_workers_are_killed(models: list[Path], german: Translator):
    with Server(models=models) as server:
        load = Load(server)
        for count in (5, 25):
            load.wait_for(count)
            [worker] = workers_of(server.process.pid)
            os.kill(worker, signal.SIGKILL)
        load.end()
        assert len(load.answers) == len(TEXTS) and not load.refused
        assert_right(load, german)
        assert "s2s_workers_lost_total 2.0" in server.ask("/metrics").body.decode()


def test_what_was_accepted_before_sigterm_is_answered(models: list[Path], german: Translator):
    with Server(models=models) as server:
        load = Load(server)
        load.wait_for(5)
        server.process.send_signal(signal.SIGTERM)
        load.end()
        ended = server.process.finish()
        assert ended.code == 143 and b"Traceback" not in ended.messages
        assert len(load.answers) >= 5 and len(load.answers) + load.refused == len(TEXTS)
        assert_right(load, german)
        assert workers_gone(server.process.pid)


def with_texts_that_take_for_ever() -> None:
    from s2s_cli.documents import snippets

    def begin(*given: Any, **named: Any) -> None:
        print("a text has begun", file=sys.stderr)
        threading.Event().wait()

    snippets.snippet = begin  # type: ignore[assignment]


def test_no_text_keeps_the_server_from_its_end(models: list[Path]):
    options = ("--stop-seconds", "0.2")
    with Server(*options, models=models, before=with_texts_that_take_for_ever, forked=True) as server:
        connection = server.connect()
        fields = f"q={'<p>ja' * 500}&source=de&target=en&format=html".encode()
        connection.request("POST", "/translate", fields, {"Content-Type": "application/x-www-form-urlencoded"})
        deadline = time.monotonic() + PATIENCE
        while "a text has begun" not in server.process.said():
            assert time.monotonic() < deadline
            time.sleep(0.005)
        server.process.send_signal(signal.SIGTERM)
        assert answer_of(connection).status == 503
        ended = server.process.finish()
        assert ended.code == 143 and b"Traceback" not in ended.messages
        assert workers_gone(server.process.pid)


def workers_gone(process: int) -> bool:
    return not os.path.exists(f"/proc/{process}") or not workers_of(process)


def test_slow_clients_are_let_go_and_others_served(models: list[Path]):
    with Server("--read-seconds", "0.5", models=models) as server:
        half_open = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(30)]
        for connection in half_open[::3]:
            connection.sendall(b"POST /translate HTTP/1.1\r\nHost: x\r\n")
        for connection in half_open[1::3]:
            connection.sendall(b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nq=")
        assert server.ask("/translate", {"q": "ja", "source": "de", "target": "en"}).status == 200
        for number, connection in enumerate(half_open):
            connection.settimeout(PATIENCE)
            received = connection.makefile("rb").read()  # until the server ends it
            assert received.startswith(b"HTTP/1.1 408") if number % 3 == 1 else received == b""
            connection.close()


def with_few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (50, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_many_connections_leave_room_for_another(models: list[Path]):
    options = ("--read-seconds", "3600")
    with Server(*options, models=models, before=with_few_files, forked=True) as server, ExitStack() as open_ones:
        for _ in range(100):
            open_ones.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        assert server.ask("/health").status == 200


def test_who_takes_too_long_is_told_so(models: list[Path]):
    with Server("--answer-seconds", "0.001", models=models) as server:
        answer = server.ask("/translate", {"q": "guten Tag. " * 200, "source": "de", "target": "en"})
        assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
        assert "s2s_queue_parts 0.0" in server.ask("/metrics").body.decode()


def test_what_nobody_waits_for_is_forgotten(models: list[Path]):
    with Server(models=models) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            body = b"source=de&target=en&q=" + b"guten+Tag.+" * 2000
            connection.sendall(b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            while "s2s_batch_parts_count 0.0" in (metrics := server.ask("/metrics").body.decode()):
                assert "s2s_requests_open" in metrics
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(b"POST /translate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nq=")
        deadline = time.monotonic() + PATIENCE
        while server.process.said().count("POST /translate 499") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert "s2s_queue_parts 0.0" in server.ask("/metrics").body.decode()


def failed(*arguments: object, **settings) -> str:
    ended = Started("serve", *arguments, **settings).finish()
    assert ended.code != 0 and ended.messages.count(b"\n") == 1, ended.messages
    return ended.messages.decode()


def test_what_the_command_refuses(models: list[Path], server: Server, tmp_path: Path):
    assert "second model from de to en" in failed("--model", models[0], "--model", models[0])
    assert "--log" in failed("--model", models[0], "--log", "xml")
    assert "cannot be read" in failed("--model", models[0], "--api-keys", tmp_path / "none")
    assert "--read-seconds" in failed("--model", models[0], "--read-seconds", "0")
    assert "cannot listen" in failed("--model", models[0], "--workers", "1", "--port", server.port).splitlines()[-1]


def without_the_extra() -> None:
    sys.modules["uvicorn"] = sys.modules["starlette"] = None  # type: ignore[assignment]


def test_without_the_extra_one_sentence_says_how_to_install_it(models: list[Path]):
    message = failed("--model", models[0], "--workers", "1", before=without_the_extra, forked=True)
    assert "s2s-cli[serve]" in message


def test_an_address_of_the_network_without_keys_is_warned_of(models: list[Path], server: Server):
    options = ("--host", "0.0.0.0", "--workers", "1", "--port", server.port)
    ended = Started("serve", "--model", models[0], *options).finish()
    assert b"warning: --host 0.0.0.0" in ended.messages and b"--api-keys" in ended.messages
