"""The command `s2s`, also as `python -m s2s_cli`."""

from __future__ import annotations


def main() -> None:
    """Parse the command line, run one command, exit with its code."""
    from s2s_cli.cli.app import main as run

    run()


if __name__ == "__main__":
    main()
