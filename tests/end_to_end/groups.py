"""Groups of processes as `torchrun` starts them, without its time: each is forked from a server that imported torch.

Each member goes through the door of the command line, with the environment that `torchrun` makes.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch.distributed as dist
from starts import PATIENCE, server

from s2s_cli.training import reporting, run
from s2s_cli.training.trainer import Trainer, Update
from scripts.tortures.task import command


class Ended(NamedTuple):
    """The exit code of each process, by rank, and what all of them said."""

    codes: list[int | None]
    messages: str


AfterUpdate = Callable[[Trainer], None]


def train_group(
    size: int,
    arguments: Sequence[str],
    messages: Path,
    *,
    after_update: AfterUpdate | None = None,
    set_up: Callable[[], None] | None = None,
    on_one_machine: bool = False,
    environment: dict[str, str] | None = None,
    absent: Sequence[int] = (),
    prepares: bool = True,
) -> Ended:
    """`torchrun --nproc-per-node SIZE -m s2s_cli ARGUMENTS`, until all of the processes have ended.

    messages: a new file for what they say. set_up, after_update: called in each process first, and after each update;
    functions of a module. on_one_machine: let them know that they are; then they share memory and the threads of those
    that wait. absent: ranks that never come. prepares: whether a new Python prepares the data, as it does for users;
    where all is prepared, the first member can see this by itself.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    variables = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size if on_one_machine else 1}
    variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port, "TORCHELASTIC_USE_AGENT_STORE": True}
    members = []
    for rank in [rank for rank in range(size) if rank not in absent]:
        own = variables | {"RANK": rank, "LOCAL_RANK": rank if on_one_machine else 0} | (environment or {})
        texts = {name: str(value) for name, value in own.items()}
        task = (texts, list(arguments), messages, after_update, set_up, prepares)
        members.append(server.Process(target=_be_member, args=task))
        members[-1].start()
    deadline = time.monotonic() + PATIENCE
    for member in members:
        member.join(max(0.0, deadline - time.monotonic()))
    codes = [member.exitcode for member in members]
    for member in members:
        member.kill()
    said = messages.read_text(encoding="utf-8")
    assert None not in codes, f"some processes did not end: {codes}\n{said}"
    return Ended(codes, said)


def _be_member(
    environment: dict[str, str],
    arguments: list[str],
    messages: Path,
    after_update: AfterUpdate | None,
    set_up: Callable[[], None] | None,
    prepares: bool,
) -> None:
    """What a member does. Each update has its line in the log, and nothing waits for the disk."""
    os.environ |= environment
    with messages.open("ab") as log:
        os.dup2(log.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    reporting.LOG_EVERY = 1
    os.fsync = lambda descriptor: None
    if not prepares:
        run.prepare_apart = run.prepare
    if set_up is not None:
        set_up()
    if after_update is not None:
        _watch(after_update)
    sys.exit(command(arguments))


def _watch(after_update: AfterUpdate) -> None:
    update = Trainer.update

    def watched(trainer: Trainer, batches: object) -> Update:
        result = update(trainer, batches)
        after_update(trainer)
        return result

    Trainer.update = watched
