"""Groups of processes as `torchrun` starts them, but forked: importing torch in each would take most of the time."""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch.distributed as dist

from s2s_cli.training.process_group import ProcessGroup, process_group

PATIENCE = 120.0  # seconds until a process that has not ended is taken to hang, on a busy machine


def run_group(size: int, work: Callable[[ProcessGroup], object], *, on_one_machine: bool = False) -> list[int]:
    """The exit code of each process, by rank, once all of them have done the work or failed.

    on_one_machine: let them know that they are; then they share memory and the threads of those that wait.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with ThreadPoolExecutor(1) as fresh:  # a thread without helpers of OpenMP, which would be missing after the fork
        children = [fresh.submit(_start, rank, size, store.port, work, on_one_machine).result() for rank in range(size)]
    deadline, codes = time.monotonic() + PATIENCE, dict.fromkeys(children)
    while None in codes.values() and time.monotonic() < deadline:
        time.sleep(0.01)
        for child in [child for child in children if codes[child] is None]:
            ended, status = os.waitpid(child, os.WNOHANG)
            codes[child] = os.waitstatus_to_exitcode(status) if ended else None
    hanging = [child for child in children if codes[child] is None]
    for child in hanging:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not hanging, "some processes did not end"
    return list(codes.values())


def _start(rank: int, size: int, port: int, work: Callable[[ProcessGroup], object], on_one_machine: bool) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        variables = {"RANK": rank, "WORLD_SIZE": size}
        variables |= {"LOCAL_RANK": rank if on_one_machine else 0, "LOCAL_WORLD_SIZE": size if on_one_machine else 1}
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
        os.environ |= {name: str(value) for name, value in variables.items()}
        with process_group() as group:
            work(group)
        code = 0
    except SystemExit as left:
        code = left.code
    except BaseException as error:
        traceback.print_exc()
        code = getattr(error, "exit_code", 1)
    finally:
        os._exit(code)
