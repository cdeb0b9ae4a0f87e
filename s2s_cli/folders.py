"""The user's folders for what the program keeps, as the XDG Base Directory Specification has them."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """For what can be made again: `$S2S_CACHE`, or `s2s` in the user's cache folder. Raises OSError without a home."""
    return Path(os.environ.get("S2S_CACHE") or _folder("XDG_CACHE_HOME", ".cache"))


def state_folder() -> Path:
    """For what the program remembers: `s2s` in the user's folder for that. Raises OSError without a home."""
    return _folder("XDG_STATE_HOME", ".local/state")


def _folder(variable: str, default: str) -> Path:
    """A relative path in the variable is to be ignored, as the specification says."""
    given = os.environ.get(variable, "")
    try:
        return Path(given if os.path.isabs(given) else Path.home() / default, "s2s")
    except RuntimeError as error:
        raise OSError(str(error)) from error
