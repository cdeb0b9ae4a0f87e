"""What --protect and --protect-pattern say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from s2s_cli.cli.options import output_option
from s2s_cli.errors import UsageError

if TYPE_CHECKING:
    from s2s_cli.inference.protection import Protection


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

    def applied_to(self, given: Protection | None) -> Protection | None:
        """The protection that was asked for; given: what the model protects without these options."""
        kinds, patterns = self.protect, self.protect_pattern or []
        if kinds is None and not patterns:
            return given
        if kinds == "none" and not patterns and given is None:
            raise UsageError("this option has no effect: nothing is protected", where="--protect", hint="leave it out")
        from s2s_cli.inference.protection import Protection
        from s2s_cli.text.protected import KINDS, Finder

        own = given.finder.kinds if given else ()
        names = own if kinds is None else () if kinds == "none" else tuple(kinds.split(","))
        for name in names:
            if name not in KINDS:
                hint = f"some of {', '.join(KINDS)}, or none"
                raise UsageError(f"`{name}` is nothing that can be protected", where="--protect", hint=hint)
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise UsageError(f"`{pattern}` is no regular expression: {error}", where="--protect-pattern") from error
        own_patterns = given.finder.patterns if given and kinds is None else ()
        finder = Finder(names, (*patterns, *own_patterns))
        return Protection(finder) if names or finder.patterns else None
