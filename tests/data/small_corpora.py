"""Small corpora of made-up sentences, and the recipe that prepares them."""

from __future__ import annotations

import gzip
import hashlib
import lzma
from pathlib import Path
from typing import Any

import numpy as np

from s2s_cli.recipe.schema import Recipe

WORDS_FR = "le chat la maison rouge bleue mange dort petit grand vite bien hier demain".split()
WORDS_EN = "the cat a house red blue eats sleeps small big fast well yesterday tomorrow".split()


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    random = np.random.default_rng(seed)
    rows = [random.integers(0, len(WORDS_FR), random.integers(4, 12)) for _ in range(count)]
    return [(" ".join(WORDS_FR[i] for i in row) + ".", " ".join(WORDS_EN[i] for i in row) + ".") for row in rows]


def write(path: Path, lines: list[str]) -> None:
    content = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes({".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)(content))


def write_corpora(folder: Path) -> Path:
    """Those of `tiny_recipe`."""
    folder.mkdir()
    for name, count, seed in (("train", 300, 1), ("more", 50, 2), ("dev", 20, 3), ("test", 20, 4)):
        sources, targets = zip(*sentences(count, seed), strict=True)
        write(folder / f"{name}.fr.xz", list(sources))
        write(folder / f"{name}.en.gz", list(targets))
    return folder


def files(name: str) -> dict[str, Any]:
    return {"source": f"{name}.fr.xz", "target": f"{name}.en.gz"}


def tiny_recipe(**sections: Any) -> Recipe:
    data = {"train": [files("train"), files("more")], "dev": [files("dev")], "test": [files("test")]}
    values = {
        "name": "tiny",
        "languages": {"source": "fr", "target": "en"},
        "tokenizer": {"vocabulary": 80},
        **sections,
        "data": data | sections.get("data", {}),
    }
    return Recipe.read(values)


def hashes(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
