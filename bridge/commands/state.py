"""`bridge state show | forget | verify | backup`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bridge.commands.command import Subparsers, declare

if TYPE_CHECKING:
    from bridge.settings import Settings


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    declare(commands, "state", _run, "what the ledger remembers")


async def _run(given: argparse.Namespace, settings: Settings) -> int:
    raise NotImplementedError
