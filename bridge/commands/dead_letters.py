"""`bridge dead-letters list | show | retry | drop`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bridge.commands.command import Subparsers, declare

if TYPE_CHECKING:
    from bridge.settings import Settings


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    declare(commands, "dead-letters", _run, "what no backend would take, and what of Letta's could not be read")


async def _run(given: argparse.Namespace, settings: Settings) -> int:
    raise NotImplementedError
