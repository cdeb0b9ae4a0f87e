"""What --protect and --protect-pattern say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from s2s_cli.cli.options import output_option


@dataclass(frozen=True)
class ProtectionArguments:
    """What comes out of a translation as it is."""

    protect: Annotated[
        str | None,
        output_option(
            metavar="KINDS",
            help="Copy spans of these kinds, each once: some of tags,placeholders,urls,emails,numbers, or none. By"
            " default those that the model was trained to protect.",
        ),
    ] = None
    protect_pattern: Annotated[
        list[str] | None,
        output_option(metavar="REGEX", help="Also protect what this regular expression matches; may be repeated."),
    ] = None
