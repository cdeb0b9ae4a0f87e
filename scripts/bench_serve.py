r"""What `s2s serve` does under load, on this machine, over loopback; the load comes from a process of its own.

    s2s train recipes/multi30k-de-en.yaml
    python scripts/bench_serve.py --model runs/multi30k-de-en --texts dev.de
    python scripts/bench_serve.py --model runs/multi30k-de-en --texts dev.de --only latency throughput
    python scripts/bench_serve.py --model runs/multi30k-de-en --texts dev.de --requests 100000

Measured are: `start`, from the process to the first answer; `latency` of one client with sentences of twelve words;
`throughput` of 64 clients with one sentence a request, against `s2s translate --workers N` of the same text; `memory`
before and after many requests; `malformed` requests, random bytes and wrong fields, of which none may be answered by
5xx or not at all; `slow`, the latency of one client beside 200 half-open connections; `kill`, workers that are killed
under load; `stop`, SIGTERM under load; and `equal`, a text alone, in a list and under load. The table goes to stdout.

    python scripts/bench_translate.py --train-only --only opennmt
    python scripts/bench_serve.py --model runs/multi30k-de-en --texts dev.de --only opennmt

compares with OpenNMT-py's server, which is given pieces of the captions that s2s is given as text.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120.0
TWELVE = 12


class Row(NamedTuple):
    """A figure, and how it was come by."""

    name: str
    figure: str
    bar: str


class Server:
    """`s2s serve` on a free port; a context manager."""

    def __init__(self, bench: Bench, *options: str) -> None:
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        words = ["serve", "--model", str(bench.model), "--port", "0", "--log", "none", "--workers", str(bench.workers)]
        self.begun = time.perf_counter()
        command = [sys.executable, "-m", "s2s_cli", *words, *options]
        self.process = subprocess.Popen(command, stderr=self._log, cwd=ROOT, env=_environment())
        self.port = self._found_port()

    def _found_port(self) -> int:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            said = os.pread(self._log.fileno(), 4096, 0).decode()
            if "serving on" in said:
                return int(said.partition("serving on http://127.0.0.1:")[2].partition("/")[0])
            time.sleep(0.002)
        raise SystemExit(f"the server does not start: {os.pread(self._log.fileno(), 4096, 0).decode()}")

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait()

    def workers(self) -> list[int]:
        return list(map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))

    def megabytes(self) -> float:
        """Memory of the server and its workers; pages that they share count once, in shares."""
        sizes = 0
        for process in [self.process.pid, *self.workers()]:
            for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
                sizes += int(line.split()[1]) if line.startswith("Pss:") else 0
        return sizes / 1024

    def ask(self, body: bytes, path: str = "/translate", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("POST", path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class Bench:
    """What is measured with."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from s2s_cli.checkpoint.model_directory import load_model_files
        from s2s_cli.inference.model_path import model_directory

        self.model, self.workers, self.requests = arguments.model, arguments.workers, arguments.requests
        self.work, self.peers = arguments.work.resolve(), arguments.peers.resolve()
        languages = load_model_files(model_directory(self.model), lambda config: False).config.languages
        self.pair = (languages.source, languages.target)
        self.texts = [line.strip() for line in arguments.texts.read_text(encoding="utf-8").splitlines() if line.strip()]
        self.folder = Path(tempfile.mkdtemp(prefix="s2s-bench-"))
        self.all = self.file("all", self.texts)
        near = [text for text in self.texts if len(text.split()) == TWELVE] or self.texts
        self.twelve = self.file("twelve", near)

    def file(self, name: str, lines: list[str]) -> Path:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    def start_load(
        self, port: int, texts: Path, clients: int, requests: int, form: str = "libretranslate"
    ) -> subprocess.Popen[str]:
        """Clients in a process of their own."""
        words = [str(port), str(texts), *self.pair, str(clients), str(requests), form]
        command = [sys.executable, "-m", "scripts.bench.load", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=_environment())

    def load(self, server: Server, texts: Path, clients: int, requests: int) -> dict[str, Any]:
        return _finished(self.start_load(server.port, texts, clients, requests))

    def fields(self, text: str | list[str]) -> bytes:
        return json.dumps({"q": text, "source": self.pair[0], "target": self.pair[1]}).encode()


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def _finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=3600)
    found: dict[str, Any] = json.loads(output)
    return found


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[98] if len(values) > 1 else values[0]


# ---------------------------------------------------------------------------------------------------------- measuring


def start(bench: Bench) -> list[Row]:
    seconds = []
    for _ in range(5):
        with Server(bench) as server:
            status, _ = server.ask(bench.fields(bench.texts[0]), content_type="application/json")
            assert status in (200, 400)
            seconds.append(time.perf_counter() - server.begun)
    figure = f"{median(seconds):.2f} s (5 starts, {min(seconds):.2f} to {max(seconds):.2f})"
    return [Row("start to first answer", figure, "≤ 0.6 s")]


def latency(bench: Bench) -> list[Row]:
    with Server(bench) as server:
        bench.load(server, bench.twelve, 1, 50)
        found = bench.load(server, bench.twelve, 1, 1000)["milliseconds"]
    return [Row("one client, 12 words: p50 / p99", f"{median(found):.1f} / {_p99(found):.1f} ms", "≤ 8 / 25 ms")]


def throughput(bench: Bench) -> list[Row]:
    rounds = []
    for _ in range(3):
        with Server(bench) as server:
            bench.load(server, bench.all, 64, 200)
            found = bench.load(server, bench.all, 64, len(bench.texts))
        served = len(found["milliseconds"]) / found["seconds"]
        rounds.append((served / _translated_per_second(bench), served, median(found["milliseconds"])))
    ratio, served, middle = sorted(rounds)[1]
    figure = f"{ratio:.2f} × ({served:.0f} sentences/s, p50 {middle:.0f} ms; median of 3)"
    return [Row("64 clients against `translate --workers`", figure, "≥ 0.7 ×")]


def _translated_per_second(bench: Bench) -> float:
    """Of the command, on the same text; its start is taken off by a run of one line."""
    seconds = []
    for texts in (bench.texts[:1], bench.texts):
        begun = time.perf_counter()
        words = ["translate", "--model", str(bench.model), "--workers", str(bench.workers), "--device", "cpu"]
        command = [sys.executable, "-m", "s2s_cli", *words]
        data = "".join(f"{text}\n" for text in texts).encode()
        subprocess.run(command, input=data, stdout=subprocess.DEVNULL, cwd=ROOT, env=_environment(), check=True)
        seconds.append(time.perf_counter() - begun)
    return len(bench.texts) / (seconds[1] - seconds[0])


def memory(bench: Bench) -> list[Row]:
    with Server(bench) as server:
        bench.load(server, bench.all, 64, 2000)
        before = server.megabytes()
        found = bench.load(server, bench.all, 64, bench.requests)
        after = server.megabytes()
    errors = found["failed"] + found["refused"] + found["differing"]
    figure = f"{before:.0f} MB before, {after:.0f} MB after; {errors} errors"
    return [Row(f"{bench.requests} requests under load", figure, "flat, 0 errors")]


def malformed(bench: Bench) -> list[Row]:
    random_ = random.Random(1)
    sent = [_mangled(random_, number, bench) for number in range(bench.requests)]
    with Server(bench, "--read-seconds", "1") as server, ThreadPoolExecutor(64) as threads:
        answers = list(threads.map(lambda data: _raw(server.port, data), sent))
        assert server.ask(bench.fields("a"))[0] in (200, 400)
    statuses = Counter(status for status in answers if status is not None)
    hangs = answers.count(None)
    faults = sum(count for status, count in statuses.items() if status >= 500)
    counted = ", ".join(f"{status or 'closed'}: {count}" for status, count in sorted(statuses.items()))
    return [Row("malformed requests", f"{faults} answers of 5xx, {hangs} hangs ({counted})", "0, 0")]


VALUES: list[Any] = [None, "", "x", 7, -1, 1.5, True, [], {}, ["a", 1], [[]], {"a": 1}, "\ud800", "\0", 1 << 70]
VALUES.append("a" * 70_000)
NAMES = "q source target format alternatives api_key text source_lang target_lang tag_handling ignore_tags".split()
KINDS = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x"]
PATHS = "/translate /detect /v2/translate /v2/languages /v2/usage /api/explain /languages /page/x /%00 /..%2f".split()


def _mangled(random_: random.Random, number: int, bench: Bench) -> bytes:
    """A request that is wrong somewhere: in its fields, in its bytes, or altogether."""
    good = {"q": "a", "source": bench.pair[0], "target": bench.pair[1], "text": ["a"], "target_lang": bench.pair[1]}
    for _ in range(random_.randint(1, 3)):
        good[random_.choice(NAMES)] = random_.choice(VALUES)
    body = json.dumps(good).encode()
    kind = random_.choice(KINDS)
    method, path = random_.choice(["POST", "POST", "GET", "PUT"]), random_.choice(PATHS)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\n"
    data = bytearray(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    if number % 3 == 1:
        for _ in range(random_.randint(1, 8)):
            data[random_.randrange(len(data))] = random_.randrange(256)
    return random_.randbytes(random_.randint(1, 400)) if number % 3 == 2 else bytes(data)


def _raw(port: int, data: bytes) -> int | None:
    """The status of the answer to these bytes; 0 if the connection was closed without one, None if nothing happened.

    The connection stays open for writing: the server takes its end for that of the client, and answers nothing.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(data)
            answer = connection.recv(64)
        except TimeoutError:
            return None
        except ConnectionError:
            return 0
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0


def slow(bench: Bench) -> list[Row]:
    with Server(bench, "--read-seconds", "60") as server:
        alone = bench.load(server, bench.twelve, 1, 500)["milliseconds"]
        idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(200)]
        for number, connection in enumerate(idle):
            connection.sendall(b"POST /translate HTTP/1.1\r\nContent-Length: 9\r\n"[: 10 + number % 40])
        beside = bench.load(server, bench.twelve, 1, 500)["milliseconds"]
        for connection in idle:
            connection.close()
    figure = f"p99 {_p99(beside):.1f} ms, {_p99(alone):.1f} ms without them"
    return [Row("beside 200 half-open connections", figure, "≤ 2 × the p99")]


def kill(bench: Bench) -> list[Row]:
    with Server(bench) as server:
        load = bench.start_load(server.port, bench.all, 32, 2000)
        kills = 0
        while load.poll() is None and kills < 10:
            time.sleep(0.4)
            for worker in server.workers()[:1]:
                os.kill(worker, signal.SIGKILL)
                kills += 1
        found = _finished(load)
    answered = len(found["milliseconds"]) - found["failed"]
    figure = f"{answered} of 2000 answered, {found['differing']} differently; {kills} workers killed"
    return [Row("kill -9 of workers under load", figure, "none lost")]


def stop(bench: Bench) -> list[Row]:
    with Server(bench) as server:
        load = bench.start_load(server.port, bench.all, 32, 1_000_000)
        time.sleep(3)
        begun = time.perf_counter()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(timeout=PATIENCE)
        seconds = time.perf_counter() - begun
        found = _finished(load)
    # A connection that waited for its next request is closed, and whoever asked at that moment counts it.
    told = f"{len(found['milliseconds'])} answered, {found['failed']} of them by errors, {found['refused']} not taken"
    return [Row("SIGTERM under load", f"{told}; ended after {seconds:.1f} s with {code}", "all accepted ones")]


def equal(bench: Bench) -> list[Row]:
    texts = bench.texts[:100]
    with Server(bench) as server:
        alone = [_text(server.ask(bench.fields(text), content_type="application/json")[1]) for text in texts]
        listed = _text(server.ask(bench.fields(texts), content_type="application/json")[1])
        loaded = bench.load(server, bench.all, 64, 2 * len(bench.texts))["answers"]
    same = sum(one == two == loaded[text] for text, one, two in zip(texts, alone, listed, strict=True))
    return [Row("same text alone, in a list, under load", f"{same} of {len(texts)} equal", "all")]


def _text(body: bytes) -> Any:
    return json.loads(body)["translatedText"]


def opennmt(bench: Bench) -> list[Row]:
    from scripts.bench.peers import OpenNMT
    from scripts.bench.servers import free_port, serving
    from scripts.bench.workload import prepare_workload

    workload = prepare_workload(bench.work / "workload")
    peer = OpenNMT(bench.peers, workload, bench.workers)
    if (model := peer.model(bench.work / "models" / peer.environment)) is None:
        raise SystemExit(f"there is no model of {peer.title} in {bench.work}: see the top of this script")
    texts = workload.source_text.read_text(encoding="utf-8").splitlines()
    pieces = workload.side("test", "de").read_text(encoding="utf-8").splitlines()
    twelve = [number for number, text in enumerate(texts) if len(text.split()) == TWELVE]
    own = [bench.file("own-all", texts), bench.file("own-twelve", [texts[number] for number in twelve])]
    other = [bench.file("peer-all", pieces), bench.file("peer-twelve", [pieces[number] for number in twelve])]
    with Server(bench) as server:
        mine = _compared(bench, server.port, *own, "libretranslate")
    with serving(peer.serve(model, port := free_port(), bench.folder), port):
        theirs = _compared(bench, port, *other, "opennmt")
    ratios = [f"{one:.3g} against {two:.3g}" for one, two in zip(mine, theirs, strict=True)]
    return [
        Row(f"one client, 12 words: p50, ms, against {peer.title}", ratios[0], "ratio"),
        Row(f"64 clients: sentences/s against {peer.title}", ratios[1], "ratio"),
    ]


def _compared(bench: Bench, port: int, every: Path, twelve: Path, form: str) -> tuple[float, float]:
    """Milliseconds of one client's request (median), and the sentences a second of 64 clients."""
    for clients in (1, 64):  # once to warm up
        _finished(bench.start_load(port, twelve, clients, 64, form))
    alone = _finished(bench.start_load(port, twelve, 1, 100, form))["milliseconds"]
    together = _finished(bench.start_load(port, every, 64, 1000, form))
    assert together["failed"] + together["refused"] == 0, "every request is answered"
    return median(alone), len(together["milliseconds"]) / together["seconds"]


ALONE: list[Callable[[Bench], list[Row]]] = [start, latency, throughput, memory, malformed, slow, kill, stop, equal]
MEASURES = {each.__name__: each for each in [*ALONE, opennmt]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, required=True, help="sentences, one on a line")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=[each.__name__ for each in ALONE])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--work", type=Path, default=Path("runs/bench"), help="folder of bench_translate.py")
    parser.add_argument("--peers", type=Path, default=Path("build/peers"), help="folder that install_peers.sh filled")
    arguments = parser.parse_args()
    bench = Bench(arguments)
    print("| figure | here | bar |\n|---|---|---|")
    for name in arguments.only:
        for row in MEASURES[name](bench):
            print(f"| {row.name} | {row.figure} | {row.bar} |", flush=True)


if __name__ == "__main__":
    main()
