"""The command `s2s`: its sub-commands, and the one place that turns errors into messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from s2s_cli import __version__, console
from s2s_cli.errors import ExitCode, Stopped, UserError, is_lack_of_memory

COMMANDS = ("prep", "train", "translate", "evaluate", "serve")
"""Each is the function of its name in the module of its name, which is imported when it is asked for."""


def main() -> None:
    """Run one command and exit with its code. Every error ends here, as one line on stderr."""
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        try:
            app(prog_name="s2s")
        finally:
            sys.stdout.flush()  # a full disk or a closed pipe shows here at the latest
    except SystemExit:  # done, or wrong options, which Typer explains together with the usage
        raise
    except BaseException as error:
        if "--debug" in sys.argv:
            import traceback

            traceback.print_exc()
        message, code = message_and_code(error)
        if message:
            console.say(message)
        _forget_stdout()
        sys.exit(code)


class _Commands(TyperGroup):
    """Imports a command when it is asked for, so that one does not wait for the others; and keeps Ctrl-C from Typer,
    whose exit code for it depends on its version."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands: dict[str, Any] = dict.fromkeys(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name, if there is one."""
        if cmd_name in self.commands and self.commands[cmd_name] is None:
            self.commands[cmd_name] = command(cmd_name)
        return self.commands.get(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped("interrupted", exit_code=ExitCode.INTERRUPTED) from None


def command(name: str) -> Any:
    """One of `COMMANDS`, as Typer makes it."""
    from s2s_cli.cli.command import Command

    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    alone.command(cls=Command)(getattr(import_module(f"s2s_cli.cli.{name}"), name))
    return typer.main.get_command(alone)


class _Terminated(BaseException):
    """SIGTERM. It is no `Exception`, so that no handler of errors catches it."""


def message_and_code(error: BaseException) -> tuple[str, int]:
    """The message for the user (empty: none) and the exit code."""
    match error:
        case Stopped():
            return str(error), error.exit_code
        case UserError():
            return f"error: {error}", error.exit_code
        case KeyboardInterrupt():  # before Typer took over
            return "interrupted", ExitCode.INTERRUPTED
        case _Terminated():
            return "terminated", ExitCode.TERMINATED
        case BrokenPipeError():
            return "", ExitCode.MACHINE  # the reader has gone, and knows it
        case ModuleNotFoundError() if error.name == "torch":
            return "error: this needs PyTorch, which is not installed (pip install torch)", ExitCode.MACHINE
        case OSError() if hasattr(error.__context__, "show"):  # while Typer showed a wrong option
            return "", ExitCode.USAGE
        case OSError():
            place = error.filename or "reading or writing failed"
            return f"error: {place}: {error.strerror or error}", ExitCode.MACHINE
        case _ if is_lack_of_memory(error):
            return "error: not enough memory (a smaller batch needs less: batch_tokens)", ExitCode.MACHINE
        case _:
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            return f"error: this is a fault of the program: {what} (`s2s --debug ...` shows where)", ExitCode.MACHINE


def _raise_terminated(number: int, frame: object) -> None:
    raise _Terminated


def _forget_stdout() -> None:
    """Keep Python from writing what is left in the buffer of stdout when it ends: that would fail with a traceback."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_version(asked: bool) -> None:
    if asked:
        print(f"s2s {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Commands,
    rich_markup_mode=None,  # importing rich takes longer than all the rest of `--help`
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def _global_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Machine translation: prepare parallel text, train a model, translate, evaluate, serve.

    \b
    s2s train recipes/quickstart.yaml      train a model in five minutes
    echo "Bonjour !" | s2s translate       use it
    s2s evaluate --bleu --chrf             score it on its test set
    s2s serve                              translate over HTTP

    Results go to stdout, messages and progress to stderr. Exit codes: 0 done, 1 a fault of the machine,
    2 wrong options or recipe, 3 bad data, 130 and 143 interrupted or terminated.
    """
