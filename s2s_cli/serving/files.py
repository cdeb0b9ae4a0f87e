"""The files of the page, read once when the server starts. What is not in this table is not there."""

from __future__ import annotations

from importlib import resources
from typing import NamedTuple


class File(NamedTuple):
    """Its media type and what it holds."""

    kind: str
    content: bytes


_KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_KINDS["svg"] = "image/svg+xml"
_NAMES = "page.css page.js requests.js words.js heatmap.js tree.js docs.js icon.svg".split()


def _read(name: str) -> File:
    content = resources.files("s2s_cli.serving").joinpath("page", name).read_bytes()
    return File(_KINDS[name.rpartition(".")[2]], content)


FILES = {"/": _read("page.html"), "/docs": _read("docs.html")} | {f"/page/{name}": _read(name) for name in _NAMES}
"""By path."""
