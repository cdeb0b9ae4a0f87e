"""The wheel has the C library in it, compiled for every kind of processor of its platform.

An editable install has not: the program compiles the library for the machine when it is first used. Nor has a wheel
that is built without a compiler, which is then one for all platforms.
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class LibraryHook(BuildHookInterface):
    """Compiles the library before the files of a wheel are collected."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """version: `standard` or `editable`."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        from s2s_cli.native.compiling import compile_variants
        from s2s_cli.native.library import PREBUILT

        folder = Path(self.root, "build", "library")
        try:
            variants = compile_variants(folder)
        except OSError as error:
            self.app.display_warning(f"the C library is left out, for it cannot be compiled: {error}")
            return
        inside = PREBUILT.relative_to(Path(self.root).resolve())
        names = [f"{variant.name}.so" for variant in variants]
        build_data["force_include"] |= {str(folder / name): str(inside / name) for name in names}
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"


def platform_tag() -> str:
    """The platform as the name of a wheel has it."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
