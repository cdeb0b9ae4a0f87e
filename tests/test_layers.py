"""Imports point down, never up, and never sideways between packages of one layer."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "s2s_cli"
LAYERS = (
    {"errors", "console", "folders", "atomic", "compression", "forms", "cores"},
    {"sealed", "processes"},  # of files that are replaced whole, and of forms; one for each core
    {"recipe", "native"},
    {"text"},
    {"data", "search"},
    {"model", "engine", "checkpoint"},
    {"inference"},
    {"evaluation"},
    {"synthesis", "training", "documents", "serving", "bulk"},
    {"cli"},
    {"__init__", "__main__"},  # the doors: the command, and the lazy `Translator`
)
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}
TORCH_FREE = set[str]().union(*LAYERS[:5], {"documents", "serving", "bulk", "cli"})
PUBLIC = {"__version__", "errors"}  # what every other part may use, whatever its layer
MODULES = sorted(PACKAGE.rglob("*.py"))


def owner(path: Path) -> str:
    """The package, or module of the top level, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute name of everything that is imported, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(["s2s_cli", *path.relative_to(PACKAGE).parent.parts][: -node.level + 1 or None])
            module = node.module if not node.level else f"{base}.{node.module}" if node.module else base
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def breaches(path: Path) -> list[str]:
    """The imports of a file that its layer does not allow."""
    here, found = owner(path), []
    for line, name in imports(path):
        root, _, rest = name.partition(".")
        there = rest.partition(".")[0]
        if root != "s2s_cli" or there == here or there in PUBLIC:
            continue
        if there not in LAYER_OF:
            found.append(f"{path}:{line}: `{name}` belongs to no layer")
        elif LAYER_OF[there] >= LAYER_OF[here]:
            found.append(f"{path}:{line}: {here} (layer {LAYER_OF[here]}) imports {there} (layer {LAYER_OF[there]})")
    return found


def test_every_package_has_a_layer():
    assert {owner(path) for path in MODULES} <= set(LAYER_OF)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path):
    assert breaches(path) == []


@pytest.mark.parametrize(
    "path", [path for path in MODULES if owner(path) in TORCH_FREE], ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_the_lower_layers_and_the_command_line_do_without_torch(path: Path):
    assert [name for _, name in imports(path) if name.partition(".")[0] == "torch"] == []


def test_only_loading_a_model_imports_torch():
    code = "import sys, s2s_cli.inference.stream, s2s_cli.inference.translator; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_breach_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("test_layers.PACKAGE", tmp_path)
    (tmp_path / "model").mkdir()
    path = tmp_path / "model" / "cells.py"
    path.write_text(
        "import s2s_cli.recipe\n"
        "from s2s_cli import console, __version__\n"
        "from s2s_cli.model.encoder import Encoder\n"
        "def f():\n    from s2s_cli.training.run import train\n"
        "from s2s_cli.checkpoint import manager\n"
        "from ..inference import stream\n"
        "from . import encoder\n"
    )
    assert sorted(breach.partition(": ")[2] for breach in breaches(path)) == [
        "model (layer 5) imports checkpoint (layer 5)",
        "model (layer 5) imports inference (layer 6)",
        "model (layer 5) imports training (layer 8)",
    ]
