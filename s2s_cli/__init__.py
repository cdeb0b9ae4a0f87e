"""Sequence-to-sequence translation: prepare, train, translate, evaluate.

from s2s_cli import Translator

translator = Translator.load("runs/quickstart")
print(translator.translate(["Bonjour !"])[0].text)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s2s_cli.inference.request import Request
    from s2s_cli.inference.translator import Translator

__version__ = "0.1.0"
__all__ = ["Request", "Translator", "__version__"]


def __getattr__(name: str) -> Any:
    """Import `Translator`, and torch with it, or `Request`, on first use."""
    if name == "Translator":
        from s2s_cli.inference.translator import Translator

        return Translator
    if name == "Request":
        from s2s_cli.inference.request import Request

        return Request
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
