"""What the commands have in common: how their options are shown, grouped into objects, and checked for an effect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints

from typer.core import TyperCommand

from s2s_cli.cli.effects import refuse_idle
from s2s_cli.errors import UsageError


class Command(TyperCommand):
    """A command whose help shows each option under the heading of its `rich_help_panel`, without importing rich."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, section by section, in the order of their declaration."""
        sections: dict[str, list[tuple[str, str]]] = {}
        parameters: list[Any] = self.get_params(ctx)
        for parameter in parameters:
            if parameter.param_type_name == "argument":
                sections.setdefault("Arguments", []).append((parameter.metavar, parameter.help))
            elif record := parameter.get_help_record(ctx):
                sections.setdefault(parameter.rich_help_panel or "Options", []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line. Raises UsageError for a second file where an option takes one, and for an empty
        value."""
        *_, order = self.make_parser(ctx).parse_args(list(args))
        rest = super().parse_args(ctx, args)
        _refuse_repeated(order)
        _refuse_empty(self.params, ctx.params)
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command, unless one of its options would have no effect."""
        refuse_idle(ctx)
        return super().invoke(ctx)


def _refuse_repeated(order: Sequence[Any]) -> None:
    """Raise UsageError for a second file where an option takes one: whoever names two expects both to count. Another
    value, such as a number, may take the place of one that an alias of the shell gives. order: the parameters as they
    stand on the command line."""
    single = [each for each in order if each.type.name in ("path", "file", "directory") and not each.multiple]
    for place, parameter in enumerate(single):
        if parameter in single[:place]:
            raise UsageError("this option takes one file, and is given twice", where=parameter.opts[0], hint="give one")


def _refuse_empty(parameters: Iterable[Any], values: dict[str, Any]) -> None:
    """Raise UsageError for an empty value: an empty path would be the current folder, and others as if the option had
    not been given."""
    for parameter in parameters:
        value = values.get(parameter.name)
        if value == "" or (isinstance(value, tuple | list) and "" in value):
            where = parameter.metavar if parameter.param_type_name == "argument" else parameter.opts[0]
            raise UsageError("the value is empty", where=where, hint="is a variable of the shell not set?")


def takes_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let the parameters of `command` that are dataclasses be given by options, one for each field.

    Typer reads options from a signature and does not look into dataclasses, so it is shown a signature that has their
    fields instead. A field is declared as a parameter is: `beam: Annotated[int | None, typer.Option(...)] = None`.
    """
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)}
    parameters: list[Parameter] = []
    for parameter in signature(command).parameters.values():
        if group := groups.get(parameter.name):
            kinds = get_type_hints(group, include_extras=True)
            parameters += [
                Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=kinds[field.name])
                for field in fields(group)
            ]
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))

    def run(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return run
