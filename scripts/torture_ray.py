"""The long trial of translation by Ray: workers, machines and the command itself are killed at random moments.

    python scripts/torture_ray.py --model runs/mine/model --text text.de --kills 50

A cluster of several nodes on this machine (`ray.cluster_utils.Cluster`) translates a text again and again. In each
round one thing is killed by `kill -9`: a process that translates (`worker`), the processes of a node (`node`), or
`s2s translate --ray` (`driver`), whose command is then run again. What comes out is compared, byte by byte, with what
`s2s translate` writes, so that no line can be lost or be there twice. Exits with 1 if anything differs. It needs
s2s-cli[ray].
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

LONGEST = 600  # seconds of a run
PATIENCE = 10  # seconds between two looks at the nodes


def main() -> None:
    options = _options()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    folder = Path(tempfile.mkdtemp(prefix="torture-ray-", dir=options.folder))
    expected = _plain(options)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(options.nodes)]
    chance, killed, faults = random.Random(options.seed), Counter[str](), list[str]()
    try:
        usual = _round(options, cluster, nodes, folder / "0", expected, faults)
        print(f"{len(expected.splitlines()):,} lines in {usual:.0f} s by {options.nodes} nodes", file=sys.stderr)
        for number in range(1, options.kills + 1):
            kind = chance.choice(options.kinds or list(KILLS))
            moment = chance.uniform(0.1, 1.0) * usual
            place = folder / str(number)
            kill = partial(KILLS[kind], chance, cluster, nodes)
            seconds = _round(options, cluster, nodes, place, expected, faults, moment, kill)
            killed[kind] += 1
            print(f"{number}: {kind} at {moment:.1f} s, done after {seconds:.1f} s", file=sys.stderr)
            shutil.rmtree(place)
    finally:
        cluster.shutdown()
    counted = ", ".join(f"{count} of a {kind}" for kind, count in sorted(killed.items()))
    print(f"{killed.total()} kills ({counted}): {len(faults)} faults")
    for fault in faults:
        print(fault, file=sys.stderr)
    shutil.rmtree(folder)
    sys.exit(bool(faults))


def _command(options: argparse.Namespace) -> list[str]:
    return [sys.executable, "-m", "s2s_cli", "translate", "--model", str(options.model)]


def _plain(options: argparse.Namespace) -> bytes:
    with options.text.open("rb") as text:
        return subprocess.run(_command(options), stdin=text, stdout=subprocess.PIPE, check=True).stdout


def _round(
    options: argparse.Namespace,
    cluster: Any,
    nodes: list[Any],
    place: Path,
    expected: bytes,
    faults: list[str],
    moment: float | None = None,
    kill: Any = None,
) -> float:
    """Translate once, kill something, run the command again where it did not end, and compare. Returns the seconds."""
    command = [*_command(options), "--ray", cluster.address, str(options.text), "-o", str(place)]
    begin = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        if moment is not None:
            time.sleep(moment)
            kill(process)
        message = _watched(process, cluster, nodes)
        if process.returncode == -signal.SIGKILL:
            process = subprocess.Popen(command, stderr=subprocess.PIPE)
            message = _watched(process, cluster, nodes)
        if process.returncode:
            faults.append(f"{place}: exit code {process.returncode}: {message.decode()}")
    finally:
        process.kill()
    seconds = time.monotonic() - begin
    names = sorted(os.listdir(place)) if place.exists() else []
    name = options.text.name
    if names != [f".{name}.record", name] or (place / name).read_bytes() != expected:
        faults.append(f"{place}: has {names}, or other lines than expected: {message.decode()}")
    return seconds


def _watched(process: subprocess.Popen, cluster: Any, nodes: list[Any]) -> bytes:
    """What the command has said, when it has ended. On a busy machine nodes also die by themselves: others replace
    them."""
    for _ in range(LONGEST // PATIENCE):
        try:
            return process.communicate(timeout=PATIENCE)[1]
        except subprocess.TimeoutExpired:
            for node in [node for node in nodes if _raylet(node).poll() is not None]:
                nodes.remove(node)
                nodes.append(cluster.add_node(num_cpus=1))
    raise TimeoutError(f"`s2s translate --ray` has not ended after {LONGEST} s")


def _raylet(node: Any) -> subprocess.Popen:
    """The process of a node without which it is dead."""
    return node.all_processes["raylet"][0].process


def _kill_worker(chance: random.Random, cluster: Any, nodes: list[Any], driver: subprocess.Popen) -> None:
    """A process that translates, or one that waits for work."""
    raylets = [_raylet(node).pid for node in nodes]
    workers = [child for raylet in raylets for child in _children(raylet) if _title(child).startswith(b"ray::")]
    busy = [worker for worker in workers if b"_translate" in _title(worker)] or workers
    if busy:
        os.kill(chance.choice(busy), signal.SIGKILL)


def _kill_node(chance: random.Random, cluster: Any, nodes: list[Any], driver: subprocess.Popen) -> None:
    """All processes of a node; another one takes its place."""
    cluster.remove_node(nodes.pop(chance.randrange(len(nodes))), allow_graceful=False)
    nodes.append(cluster.add_node(num_cpus=1))


def _kill_driver(chance: random.Random, cluster: Any, nodes: list[Any], driver: subprocess.Popen) -> None:
    """The command."""
    driver.kill()


KILLS = {"worker": _kill_worker, "node": _kill_node, "driver": _kill_driver}


def _children(process: int) -> list[int]:
    try:
        threads = os.listdir(f"/proc/{process}/task")
        texts = [Path(f"/proc/{process}/task/{thread}/children").read_text() for thread in threads]
    except OSError:
        return []
    return [int(child) for text in texts for child in text.split()]


def _title(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="worker, node, driver; all by default")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True, help="some thousand lines, plain")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; the system's temporary folder by default")
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KILLS):
        parser.error(f"unknown kind: {', '.join(sorted(unknown))}")
    options.model, options.text = options.model.resolve(), options.text.resolve()
    return options


if __name__ == "__main__":
    main()
