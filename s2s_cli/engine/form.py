"""The sizes of a model that the engine fits, and the switches among its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Form(NamedTuple):
    """source, target: sizes of the vocabularies. E, encoder_hidden, M (of the encoder's states), H, A and D (of the
    readout) as everywhere."""

    source: int
    target: int
    embedding: int
    encoder_hidden: int
    layers: int
    directions: int
    residual: bool
    summary: str
    bridge: str
    hidden: int
    attention: int
    readout: int
    is_conditional: bool
    tied: str

    @property
    def memory(self) -> int:
        """M."""
        return self.encoder_hidden * self.directions

    def encoder_inputs(self, layer: int) -> int:
        """Width of what a layer of the encoder reads."""
        return self.memory if layer else self.embedding

    @classmethod
    def of(cls, model: Mapping[str, Any], source: int, target: int) -> Form:
        """Of a model that has no `obstacle`."""
        encoder, decoder, attention = model["encoder"], model["decoder"], model["attention"]
        return cls(
            source=source,
            target=target,
            embedding=model["embedding"],
            encoder_hidden=encoder["hidden"],
            layers=encoder["layers"],
            directions=2 if encoder["bidirectional"] else 1,
            residual=encoder["residual"],
            summary=encoder["summary"],
            bridge=encoder["bridge"],
            hidden=decoder["hidden"],
            attention=attention["size"],
            readout=decoder["hidden"] if model["tied"] == "none" else model["embedding"],
            is_conditional=attention["query"] == "intermediate",
            tied=model["tied"],
        )

    def owners(self) -> dict[str, str]:
        """Of each table that a model shares with another part: the name under which it is kept."""
        owner = {"none": None, "target": "embedding.weight", "all": "encoder.embedding.weight"}[self.tied]
        shared = ["output.weight", *(["embedding.weight"] if self.tied == "all" else [])]
        return {name: owner for name in shared} if owner else {}
