"""The random numbers of training: each process of a group draws from a stream of its own."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from s2s_cli.training.process_group import ProcessGroup


def part_streams(group: ProcessGroup) -> None:
    """Give each process its own stream, starting from equal ones. A single process keeps its stream."""
    if group.size > 1:
        seeds = torch.randint(2**62, (group.size,)).tolist()
        torch.manual_seed(seeds[group.rank])


def stream_states(device: torch.device, group: ProcessGroup) -> dict[str, Tensor]:
    """The states of the streams of all processes: `cpu` and `cuda` of the first one, `cpu/1` etc. of the others."""
    own = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        own["cuda"] = torch.cuda.get_rng_state(device)
    return {_key(name, rank): state for name in own for rank, state in enumerate(group.gather(own[name]))}


def restore_streams(states: Mapping[str, Tensor], device: torch.device, group: ProcessGroup) -> None:
    """Restore the streams. If the number of processes has changed, new streams are started from the first one."""
    same_size = sum(name.startswith("cpu") for name in states) == group.size
    rank = group.rank if same_size else 0
    torch.set_rng_state(states[_key("cpu", rank)])
    if device.type == "cuda" and _key("cuda", rank) in states:
        torch.cuda.set_rng_state(states[_key("cuda", rank)], device)
    if not same_size:
        part_streams(group)


def _key(name: str, rank: int) -> str:
    return f"{name}/{rank}" if rank else name
