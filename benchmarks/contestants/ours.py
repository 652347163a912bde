"""The bridge itself: `open_service` and `sweep` over a ledger on disk, until every run is sent."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benchmarks.contestants.clock import HandClock
from benchmarks.contestants.measure import arguments, measured
from bridge.app import collect_rarely, open_service
from bridge.log import configure
from bridge.settings import Settings, load


def settings_of(letta: str, otlp: str, ledger: Path = Path("unused"), *, durations: bool, **more: str) -> Settings:
    """As for a backlog: nothing is waited for, and no budget holds the bridge back; `more` are variables."""
    settings = load(
        {
            "LETTA_BASE_URL": letta,
            "BRIDGE_START_FROM": "beginning",
            "BRIDGE_SETTLE": "0",
            "BRIDGE_STEP_DURATIONS": "true" if durations else "false",
            "BRIDGE_LEDGER": str(ledger),
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
            "BRIDGE_LOG_LEVEL": "error",
            **more,
        },
        None,
    )
    unlimited = settings.letta.model_copy(update={"requests_per_second": 1e6})
    return settings.model_copy(update={"letta": unlimited})


async def follow(settings: Settings, runs: int) -> None:
    """Sweep until so many runs are closed."""
    clock = HandClock()  # by the machine's, a backlog of more than half a minute would go without its durations
    async with open_service(settings, clock=clock) as service:
        collect_rarely()
        closed = 0
        while closed < runs:
            report = await service.sweep()
            assert report.problem is None, report.problem
            closed += report.closed
            clock.time += 1.0
        await service.export_metrics()


def main() -> None:
    """Send everything, and tell what it took."""
    task = arguments()
    configure(level="error")
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder) / "ledger"
        settings = settings_of(task.letta, task.otlp, ledger, durations=task.durations)
        with measured(task) as told:
            asyncio.run(follow(settings, task.runs))
            told["ledger_bytes"] = sum(file.stat().st_size for file in Path(folder).iterdir())


if __name__ == "__main__":
    main()
