"""`bridge backfill` of everything there is, its parts opened as the command does it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benchmarks.contestants.measure import arguments, measured
from benchmarks.contestants.ours import settings_of
from bridge.app.backfill import open_backfill
from bridge.backfill.bounds import asked
from bridge.backfill.tally import Tally
from bridge.clock import SystemClock
from bridge.log import configure
from bridge.settings import Settings


class _Silent:
    """Progress nobody looks at."""

    def show(self, tally: Tally) -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""


async def fetch(settings: Settings) -> int:
    """The steps that were sent."""
    unlimited = settings.backfill.model_copy(update={"requests_per_second": 1e6})
    async with open_backfill(settings.model_copy(update={"backfill": unlimited})) as backfill:
        wanted = asked("beginning", None, None, now=SystemClock().now())
        steps: int = (await backfill.run(wanted, _Silent())).tally.steps
    return steps


def main() -> None:
    """Do it, and tell what it took."""
    task = arguments()
    configure(level="error")
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        settings = settings_of(task.letta, task.otlp, ledger, durations=task.durations, BRIDGE_START_FROM="now")
        with measured(task) as told:
            told["steps"] = asyncio.run(fetch(settings))
            told["ledger_bytes"] = sum(file.stat().st_size for file in Path(folder).iterdir())


if __name__ == "__main__":
    main()
