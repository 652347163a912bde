"""One sweep at a time, a quiet end, and patience that grows."""

import asyncio
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from bridge.schedule import Backoff, Schedule


async def test_a_job_never_runs_twice_at_once_and_missed_ticks_are_one() -> None:
    schedule = Schedule()
    running = overlaps = runs = 0

    async def job() -> None:
        nonlocal running, overlaps, runs
        overlaps += running
        running += 1
        runs += 1
        await asyncio.sleep(0.05)  # five intervals long
        running -= 1
        if runs == 3:
            schedule.stop()

    schedule.every(0.01, job)
    await schedule.until_stopped(grace=5, on_stop=lambda: None)
    assert (overlaps, running) == (0, 0)
    assert runs <= 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_the_job_under_way_finish(number: signal.Signals) -> None:
    schedule = Schedule()
    told, finished = asyncio.Event(), False

    async def job() -> None:
        nonlocal finished
        os.kill(os.getpid(), number)
        await told.wait()
        finished = True

    schedule.every(60, job)
    await schedule.until_stopped(grace=5, on_stop=told.set)
    assert finished


async def test_a_job_that_outlasts_the_grace_time_is_cut_off() -> None:
    schedule = Schedule()
    cut = asyncio.Event()

    async def job() -> None:
        schedule.stop()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cut.set()
            raise

    schedule.every(60, job)
    with pytest.raises(TimeoutError):
        await schedule.until_stopped(grace=0.01, on_stop=lambda: None)
    await asyncio.wait_for(cut.wait(), 5)


async def test_a_clock_that_is_set_back_an_hour_does_not_stall_the_jobs() -> None:
    schedule = Schedule(clock_checks=0.02)
    start = datetime(2027, 1, 15, 12, tzinfo=UTC)
    with time_machine.travel(start) as traveller:
        runs = 0

        async def job() -> None:
            nonlocal runs
            runs += 1
            if runs == 2:
                traveller.move_to(start - timedelta(hours=1))
            if runs == 5:
                schedule.stop()

        schedule.every(0.05, job)
        await asyncio.wait_for(schedule.until_stopped(grace=5, on_stop=lambda: None), 10)
    assert runs == 5


async def test_a_job_runs_each_time_its_moment_comes() -> None:
    schedule = Schedule()
    moments: asyncio.Queue[int] = asyncio.Queue()
    seen = 0

    async def moment() -> None:
        await moments.get()

    async def job() -> None:
        nonlocal seen
        seen += 1
        if seen == 3:
            schedule.stop()

    for number in range(5):
        moments.put_nowait(number)
    schedule.whenever(moment, job)
    await asyncio.wait_for(schedule.until_stopped(grace=5, on_stop=lambda: None), 5)
    assert seen == 3


async def test_a_woken_job_under_way_finishes_and_one_that_waits_is_not_waited_for() -> None:
    schedule = Schedule()
    told, finished, once = asyncio.Event(), False, asyncio.Event()
    once.set()

    async def moment() -> None:
        await once.wait()
        once.clear()

    async def job() -> None:
        nonlocal finished
        schedule.stop()
        await told.wait()
        finished = True

    schedule.whenever(moment, job)
    schedule.whenever(asyncio.Event().wait, job)  # type: ignore[arg-type] # what it returns is of no interest
    await asyncio.wait_for(schedule.until_stopped(grace=5, on_stop=told.set), 5)
    assert finished
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_woken_job_that_outlasts_the_grace_time_is_cut_off_and_one_that_fails_ends_everything() -> None:
    async def at_once() -> None:
        await asyncio.sleep(0)

    async def hangs() -> None:
        schedule.stop()
        await asyncio.Event().wait()

    async def fails() -> None:
        raise ValueError("the ledger is full")

    schedule = Schedule()
    schedule.whenever(at_once, hangs)
    with pytest.raises(TimeoutError):
        await schedule.until_stopped(grace=0.01, on_stop=lambda: None)
    schedule = Schedule()
    schedule.whenever(at_once, fails)
    with pytest.raises(ValueError, match="the ledger is full"):
        await schedule.until_stopped(grace=5, on_stop=lambda: None)


async def test_a_failing_job_ends_everything_with_its_own_words() -> None:
    schedule = Schedule()

    async def job() -> None:
        raise ValueError("the ledger is full")

    schedule.every(60, job)
    with pytest.raises(ValueError, match="the ledger is full"):
        await schedule.until_stopped(grace=5, on_stop=lambda: None)


def test_patience_doubles_up_to_a_minute_and_obeys_what_was_asked() -> None:
    backoff = Backoff(5)
    waits = [backoff.failed(None) for _ in range(8)]
    assert 3.75 <= waits[0] <= 6.25
    assert waits[1] > waits[0]
    assert all(45 <= wait <= 75 for wait in waits[5:])
    assert backoff.failed(300) == 300
    assert backoff.failed(float("inf")) == 3600
    backoff.succeeded()
    assert backoff.failed(None) <= 6.25
