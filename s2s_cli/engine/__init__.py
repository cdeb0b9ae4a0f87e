"""The engine: decoding without PyTorch, by NumPy and the C library, for models whose parts it knows.

A model is given by plain values, the `model` section of its recipe or `config.json`, and by its weights, either in
float32 by the names of its state (`pack` makes what the engine reads of them), or as they were packed at export.
"""

from s2s_cli.engine.arithmetic import ARITHMETICS
from s2s_cli.engine.building import build
from s2s_cli.engine.decoder import Engine
from s2s_cli.engine.fitting import obstacle
from s2s_cli.engine.form import Form
from s2s_cli.engine.packing import fault_of, pack, state_shapes
from s2s_cli.engine.shortlist import Shortlist

__all__ = ["ARITHMETICS", "Engine", "Form", "Shortlist", "build", "fault_of", "obstacle", "pack", "state_shapes"]
