"""What every command of this folder is made of."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridge.settings import Settings

Subparsers = argparse._SubParsersAction  # noqa: SLF001 - argparse gives its return type no public name
Run = Callable[[argparse.Namespace, "Settings"], Awaitable[int]]  # returns the exit code


def declare(
    commands: Subparsers[argparse.ArgumentParser], name: str, run: Run, help_: str
) -> argparse.ArgumentParser:
    """A parser that has `--config` and runs `run`; the description is the help with a full stop."""
    parser = commands.add_parser(name, help=help_, description=described(help_))
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings file (default: $BRIDGE_CONFIG, then config/bridge.yaml)"
    )
    parser.set_defaults(command=run)
    return parser


def described(about: str) -> str:
    """The line of the list of commands as the first sentence of a command's own help."""
    return f"{about[0].upper()}{about[1:]}."
