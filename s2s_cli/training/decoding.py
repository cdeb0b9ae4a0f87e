"""What decodes by a model that is being trained."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy

import numpy as np
import torch
from torch import Tensor

from s2s_cli.engine import Form, build, pack
from s2s_cli.inference.engines import ARITHMETIC_OF, choose_engine
from s2s_cli.model.decoding import Decoding
from s2s_cli.model.seq2seq import Seq2Seq
from s2s_cli.recipe import schema
from s2s_cli.search.step_model import StepModel


def build_step_model(
    model: Seq2Seq,
    section: schema.Model,
    engine: str,
    device: torch.device,
    dtype: torch.dtype,
    *,
    int8_is_harmless: bool = False,
    forbidden: Collection[int] = (),
) -> StepModel:
    """What decodes by a copy of the model as it is now.

    section: of its recipe. engine: see `s2s_cli.inference.engines`. device, dtype: of PyTorch, where it decodes.
    forbidden: symbols that are never written.
    """
    name = choose_engine(engine, section.values(), device.type, int8_is_harmless=int8_is_harmless)
    if name == "reference":
        copy = deepcopy(model).eval()
        copy.forbid(forbidden)
        return Decoding(copy.to(device=device, dtype=dtype))
    arithmetic = ARITHMETIC_OF[name]
    form, arrays = packed(model.state_dict(), section, arithmetic)
    return build(form, arrays, arithmetic, forbidden=forbidden, threads=torch.get_num_threads())


def packed(state: Mapping[str, Tensor], section: schema.Model, arithmetic: str) -> tuple[Form, dict[str, np.ndarray]]:
    """The form of a model that the engine fits, and what the engine reads of its state."""
    weights = {name: tensor.detach().float().cpu().numpy().copy() for name, tensor in state.items()}
    sizes = len(weights["encoder.embedding.weight"]), len(weights["output.bias"])
    form = Form.of(section.values(), *sizes)
    return form, pack(weights, form, arithmetic)
