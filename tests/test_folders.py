"""Where the program keeps things, by the variables of the XDG Base Directory Specification."""

from __future__ import annotations

from pathlib import Path

import pytest

from s2s_cli.folders import cache_folder, state_folder


@pytest.mark.parametrize(
    ("variables", "cache", "state"),
    [
        ({}, "/home/me/.cache/s2s", "/home/me/.local/state/s2s"),
        ({"XDG_CACHE_HOME": "/c", "XDG_STATE_HOME": "/s"}, "/c/s2s", "/s/s2s"),
        ({"XDG_CACHE_HOME": "c", "XDG_STATE_HOME": ""}, "/home/me/.cache/s2s", "/home/me/.local/state/s2s"),
        ({"XDG_CACHE_HOME": "/c", "S2S_CACHE": "own"}, "own", "/home/me/.local/state/s2s"),
        ({"S2S_CACHE": ""}, "/home/me/.cache/s2s", "/home/me/.local/state/s2s"),
    ],
)
def test_folders(variables: dict[str, str], cache: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("S2S_CACHE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/home/me"} | variables).items():
        monkeypatch.setenv(name, value)
    assert (cache_folder(), state_folder()) == (Path(cache), Path(state))
