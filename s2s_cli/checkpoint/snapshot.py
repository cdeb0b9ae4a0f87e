"""Everything that a training run needs to continue exactly where it was, and its directory on disk:

weights.safetensors         the model's parameters and buffers
optimizer.safetensors       moments and other state of the optimiser, under flat names
random.safetensors          states of the random generators
extra-<name>.safetensors    further sets of tensors, such as a moving average of the weights
state.json                  step, validation score, scalars
manifest.json               sizes and hashes of the others
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from torch import Tensor

from s2s_cli.checkpoint.tensors import decode_tensors, encode_tensors
from s2s_cli.forms import at_least
from s2s_cli.sealed import Document, Manifest, ManifestWriter, SealedDirectory, to_json

WEIGHTS, OPTIMIZER, RANDOM, STATE = "weights.safetensors", "optimizer.safetensors", "random.safetensors", "state.json"
_EXTRA = re.compile(r"extra-([a-z0-9_]+)\.safetensors")


@dataclass
class Snapshot:
    """The state of a training run after `step` updates."""

    step: int
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]
    scalars: dict[str, Any]
    """Anything that JSON can hold (it turns tuples into lists, and keys into text); infinities and NaN are kept."""
    extra: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    score: float | None = None
    """The result of the validation at this step, higher being better; None if there was none."""


class SnapshotState(Document):
    """`state.json`."""

    format: Literal[1] = 1
    step: Annotated[int, at_least(0)]
    score: float | None
    best: bool
    """Whether it was the best of its run when it was saved."""
    scalars: dict[str, Any]


def write_snapshot(directory: Path, snapshot: Snapshot, *, best: bool) -> None:
    """Write all files of a snapshot into an empty directory. Raises `OSError`."""
    parts = {WEIGHTS: snapshot.weights, OPTIMIZER: snapshot.optimizer, RANDOM: snapshot.random}
    for name, tensors in snapshot.extra.items():
        if not _EXTRA.fullmatch(f"extra-{name}.safetensors"):
            raise ValueError(f"extra {name!r}: use lower-case letters, digits and underscores")
        parts[f"extra-{name}.safetensors"] = tensors
    state = SnapshotState(step=snapshot.step, score=snapshot.score, best=best, scalars=snapshot.scalars)
    writer = ManifestWriter(directory)
    for name, tensors in parts.items():
        writer.write(name, encode_tensors(tensors))
    writer.write(STATE, [to_json(state)])
    writer.seal(Manifest)


def read_snapshot(directory: Path) -> Snapshot:
    """Read and verify a whole snapshot. Raises `CheckpointError`, which names the file and the fault."""
    sealed = SealedDirectory.open(directory)
    state = sealed.parse(STATE, SnapshotState)
    extras = {match[1]: name for name in sealed.files if (match := _EXTRA.fullmatch(name))}
    return Snapshot(
        step=state.step,
        weights=_read_tensors(sealed, WEIGHTS),
        optimizer=_read_tensors(sealed, OPTIMIZER),
        random=_read_tensors(sealed, RANDOM),
        scalars=state.scalars,
        extra={name: _read_tensors(sealed, file) for name, file in extras.items()},
        score=state.score,
    )


def read_weights(directory: Path) -> dict[str, Tensor]:
    """Read and verify the weights alone. Raises `CheckpointError`."""
    return _read_tensors(SealedDirectory.open(directory), WEIGHTS)


def read_state(directory: Path) -> SnapshotState:
    """Read and verify the state, which has no tensors. Raises `CheckpointError`."""
    return SealedDirectory.open(directory).parse(STATE, SnapshotState)


def _read_tensors(sealed: SealedDirectory, name: str) -> dict[str, Tensor]:
    return decode_tensors(sealed.read(name), sealed.path / name)
