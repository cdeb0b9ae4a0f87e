"""From the arrays of a model to an engine."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from s2s_cli.engine.arithmetic import ARITHMETICS
from s2s_cli.engine.decoder import Engine
from s2s_cli.engine.form import Form
from s2s_cli.engine.machine import Machine
from s2s_cli.engine.shortlist import Shortlist


def build(
    form: Form,
    arrays: Mapping[str, np.ndarray],
    arithmetic: str,
    *,
    forbidden: Collection[int] = (),
    shortlist: Shortlist | None = None,
    threads: int = 1,
) -> Engine:
    """What decodes by a model.

    arrays: as `pack` makes them in the same arithmetic; they are neither copied nor changed. forbidden: symbols that
    are never written. shortlist: the symbols that each sentence may be written with. threads: of the C library.
    """
    bias_V = arrays["output.bias"].copy()
    bias_V[list(forbidden)] = -np.inf
    return Engine(form, Machine({**arrays, "output.bias": bias_V}, ARITHMETICS[arithmetic], threads), shortlist)
