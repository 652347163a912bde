"""The bridge on a server where nothing happens any more: what a tick costs, by a clock that is turned by hand.

First it takes in what there is, until nothing is left to do; then, after a pause, the ticks are measured.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.contestants.clock import HandClock
from benchmarks.contestants.measure import arguments, measured
from benchmarks.contestants.ours import settings_of
from bridge.app import open_service
from bridge.log import configure
from bridge.service import Service
from bridge.settings import Settings

_INTERVAL = 5.0


async def watch(settings: Settings, letta: str, *, ticks: int, pause: float, told: dict[str, Any]) -> None:
    """Take it all in, and measure what ticks cost after that."""
    clock = HandClock()
    async with open_service(settings, clock=clock) as service:
        cpu = time.process_time()
        await _settle(service, clock)
        told["first_cpu"] = time.process_time() - cpu
        clock.time += pause
        await _settle(service, clock)
        await asyncio.to_thread(_reset, letta)
        cpu = time.process_time()
        for _ in range(ticks):
            report = await service.sweep()
            assert report.problem is None, report.problem
            clock.time += _INTERVAL
        told["tick_cpu"] = (time.process_time() - cpu) / ticks


async def _settle(service: Service, clock: HandClock) -> None:
    for _ in range(200):
        report = await service.sweep()
        assert report.problem is None, report.problem
        clock.time += _INTERVAL
        if not (report.left or report.steps or report.closed):
            return
    raise AssertionError("it never comes to rest")


def _reset(letta: str) -> None:
    urllib.request.urlopen(f"{letta}/bench/reset", timeout=10).close()


def main() -> None:
    """Do it, and tell what it took."""
    task = arguments()
    configure(level="error")
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_of(
            task.letta,
            task.otlp,
            Path(folder) / "ledger",
            durations=task.durations,
            BRIDGE_START_FROM=task.start_from,
        )
        with measured(task) as told:
            asyncio.run(watch(settings, task.letta, ticks=task.ticks, pause=task.pause, told=told))


if __name__ == "__main__":
    main()
