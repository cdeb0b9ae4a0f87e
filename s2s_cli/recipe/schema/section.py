"""What every part of the recipe is made of: a section of keys, and numbers with bounds."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0.0)]
Width = Annotated[int, Field(ge=1, le=65_536)]
"""The sizes of a model are bounded, so that a hostile `config.json` or recipe cannot request all memory."""
Layers = Annotated[int, Field(ge=1, le=100)]


class Section(BaseModel):
    """A part of the recipe: unknown keys are faults, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, serialize_by_alias=True)
