"""`bridge backfill`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from bridge.commands.command import Subparsers, declare

if TYPE_CHECKING:
    from bridge.backfill.result import Result
    from bridge.settings import Settings

_DONE: Final = 0
_LETTA_REFUSED: Final = 4
_MORE: Final = 6
_TIMES: Final = "now, beginning, an age such as 30d, or an ISO time (UTC where it names no zone)"


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    parser = declare(commands, "backfill", _run, "send what is older than what the service follows")
    parser.add_argument("--since", required=True, metavar="TIME", help=f"the runs created from then on: {_TIMES}")
    parser.add_argument(
        "--until", metavar="TIME", help="and before that time, written alike (default: where the service begins)"
    )
    parser.add_argument("--agent", metavar="ID", help="the runs of this agent alone")
    parser.add_argument("--with-metrics", action="store_true", help="count what is sent in the service's totals, too")
    parser.add_argument("--dry-run", action="store_true", help="print the spans; send nothing and remember nothing")


async def _run(given: argparse.Namespace, settings: Settings) -> int:
    import asyncio

    from bridge.app.backfill import open_backfill
    from bridge.backfill.bounds import asked
    from bridge.backfill.progress import shown
    from bridge.backfill.result import summary
    from bridge.clock import SystemClock
    from bridge.errors import LettaError

    clock = SystemClock()
    wanted = asked(given.since, given.until, given.agent, now=clock.now())
    async with open_backfill(settings, with_metrics=given.with_metrics, dry_run=given.dry_run) as backfill:
        with stopping(backfill.stop) as signals:
            try:
                with shown(sys.stderr, clock.now) as progress:
                    result = await backfill.run(wanted, progress)
            except LettaError as error:
                print(f"bridge: {error}", file=sys.stderr)
                return _LETTA_REFUSED
            except asyncio.CancelledError:
                print("backfill: cut off; run the same command again to go on", file=sys.stderr)
                return _ended_by(signals)
    for line in summary(result, dry_run=given.dry_run):
        print(line)
    return _ended_by(signals) if result.stopped else _code(result)


@contextlib.contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[list[int]]:
    """Call `stop` at the first SIGINT or SIGTERM, cut the task off at the second; yields those that came."""
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    signals: list[int] = []

    def came(number: int) -> None:
        signals.append(number)
        if len(signals) == 1:
            stop()
        else:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, came, number)
    try:
        yield signals
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _ended_by(signals: list[int]) -> int:
    """What a shell says of a process that a signal ended."""
    return 128 + signals[0]


def _code(result: Result) -> int:
    return _MORE if result.going_on or result.unfinished or result.not_yet_shown else _DONE
