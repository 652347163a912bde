"""When things happen: a sweep every interval, metrics every export interval, and a quiet end.

APScheduler gives one sweep at a time, missed ticks folded into one, and jitter. It goes by the wall clock: when that
is set back, everything is due at once instead of an hour late. After a problem the sweeps back off, up to a minute,
or as long as Letta or the backend asked for. SIGTERM and SIGINT let the batch in flight finish.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

_CLOCK_CHECKS: Final = 1.0
_SET_BACK: Final = 1.0  # seconds by which the clock went back since the last check: slewing is far slower
_JITTER_SHARE: Final = 0.1
_LONGEST_BACKOFF: Final = 60.0
_LONGEST_ASKED: Final = 3600.0  # an absurd Retry-After must not silence the bridge for good

Job = Callable[[], Awaitable[None]]


class Schedule:
    """Runs jobs until a signal, then waits for what is running."""

    def __init__(self, *, clock_checks: float = _CLOCK_CHECKS) -> None:
        """Nothing is scheduled yet.

        Args:
            clock_checks: seconds between two looks at whether the wall clock was set back.
        """
        self._clock_checks = clock_checks
        # A sweep that outlasts its interval is no news: the next tick is folded into it.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._stop = asyncio.Event()
        self._waits: list[tuple[Job, Job]] = []
        self._running: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    def every(self, seconds: float, job: Job, *, jitter: bool = False) -> None:
        """Run `job` now and then every so many seconds, never twice at the same time.

        An exception out of `job` ends `until_stopped` with it.
        """
        trigger = IntervalTrigger(seconds=seconds, jitter=seconds * _JITTER_SHARE if jitter else None)
        self._scheduler.add_job(
            self._guarded(job),
            trigger,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
            next_run_time=datetime.now(UTC),
        )

    def whenever(self, moment: Job, job: Job) -> None:
        """Run `job` each time that `moment` returns; as `every` otherwise."""
        self._waits.append((moment, self._guarded(job)))

    def stop(self) -> None:
        """End `until_stopped`."""
        self._stop.set()

    async def until_stopped(self, *, grace: float, on_stop: Callable[[], None]) -> None:
        """Run the jobs until `stop` or a signal; then call `on_stop` and give those under way `grace` seconds.

        Raises:
            TimeoutError: a job took longer than the grace time and was cut off.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        self._scheduler.start()
        background = [asyncio.create_task(self._watch_clock())]
        background += [asyncio.create_task(self._each_time(moment, job)) for moment, job in self._waits]
        try:
            await self._stop.wait()
            self._scheduler.pause()
            on_stop()
            await asyncio.wait_for(self._idle(), grace)
        finally:
            for task in background:
                task.cancel()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            self._scheduler.shutdown(wait=False)
        if self._failure:
            raise self._failure

    async def _watch_clock(self) -> None:
        ahead = _wall_clock_ahead()
        while True:
            await asyncio.sleep(self._clock_checks)
            before, ahead = ahead, _wall_clock_ahead()
            if ahead < before - _SET_BACK:
                for job in self._scheduler.get_jobs():
                    job.modify(next_run_time=datetime.now(UTC))

    async def _each_time(self, moment: Job, job: Job) -> None:
        while not self._stop.is_set():
            await moment()
            if not self._stop.is_set():
                await job()

    async def _idle(self) -> None:
        while self._running:
            await asyncio.wait(self._running)

    def _guarded(self, job: Job) -> Job:
        async def run() -> None:
            task = asyncio.current_task()
            assert task is not None
            self._running.add(task)
            try:
                await job()
            except asyncio.CancelledError:
                return  # the grace time is over; APScheduler would log it with a traceback
            except Exception as error:  # noqa: BLE001 - whatever it is, it ends the service, with its own words
                self._failure = error
                self._stop.set()
            finally:
                self._running.discard(task)

        return run


def _wall_clock_ahead() -> float:
    """Of the loop's own clock, which nobody can set."""
    return datetime.now(UTC).timestamp() - asyncio.get_running_loop().time()


class Backoff:
    """How long to leave a failing side alone."""

    def __init__(self, interval: float) -> None:
        """Begin at one `interval` (seconds)."""
        self._interval = interval
        self._failures = 0

    def succeeded(self) -> None:
        """Begin anew."""
        self._failures = 0

    def failed(self, retry_after: float | None) -> float:
        """Seconds to wait after one more failure: what was asked for, up to an hour, else ever longer."""
        self._failures += 1
        doubled = min(_LONGEST_BACKOFF, self._interval * 2.0 ** min(self._failures - 1, 10))
        jittered = doubled * random.uniform(0.75, 1.25)  # noqa: S311 - spreads retries, keeps no secret
        return max(min(retry_after or 0.0, _LONGEST_ASKED), jittered)
