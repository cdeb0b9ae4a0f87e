"""What every part of the recipe is made of: a section of keys, and numbers with bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from s2s_cli.forms import Form, above, at_least, at_most, below

Probability = Annotated[float, at_least(0.0), below(1.0)]
Positive = Annotated[int, at_least(1)]
PositiveFloat = Annotated[float, above(0.0)]
Seed = Annotated[int, at_least(0), below(2**32)]
Width = Annotated[int, at_least(1), at_most(65_536)]
"""The sizes of a model are bounded, so that a hostile `config.json` or recipe cannot request all memory."""
Layers = Annotated[int, at_least(1), at_most(100)]
Side = Literal["source", "target"]


class Section(Form):
    """A part of the recipe: unknown keys are faults, values never change after loading."""
