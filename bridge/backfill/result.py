"""What a backfill came to, and what a person is told of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bridge.backfill.bounds import Bounds, when
from bridge.backfill.tally import Tally

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it.

    Attributes:
        tally: what was done.
        bounds: what was to be done; None where that was stopped before it was known.
        passed: runs that earlier backfills had entered.
        letters: dead letters that were added.
        seconds: how long it took.
        going_on: runs left open because they are still going on.
        unfinished: runs left open because they could not be read to their end.
        stopped: whether it was asked to stop.
    """

    tally: Tally
    bounds: Bounds | None
    passed: int
    letters: int
    seconds: float
    going_on: int
    unfinished: int
    stopped: bool

    @property
    def not_yet_shown(self) -> bool:
        """Whether the newest runs of the time may not have been in Letta's list yet."""
        return self.bounds is not None and not self.bounds.complete


def summary(result: Result, *, dry_run: bool) -> Iterator[str]:
    """The lines."""
    tally = result.tally
    done = f"{tally.runs} runs, {tally.steps} steps and {tally.spans} spans"
    took = f"{tally.requests} requests in {timedelta(seconds=round(result.seconds))}"
    yield f"{'shown' if dry_run else 'sent'} {done}; {result.letters} dead letters; {took}"
    if result.bounds:
        wanted = result.bounds.range
        whose = f"agent {wanted.agent_id}" if wanted.agent_id else "all agents"
        yield f"from {when(wanted.from_ns / _NS)} to {when(wanted.until_ns / _NS)}, {whose}"
    if result.passed:
        yield f"{result.passed} runs in that time were left out: an earlier backfill had them"
    yield from _still_to_do(result)
    if dry_run:
        yield "dry run: nothing was sent, nothing is remembered"


def _still_to_do(result: Result) -> Iterator[str]:
    if result.stopped:
        where = f" at {when(result.tally.position_ns / _NS)}" if result.tally.position_ns else ""
        yield f"stopped{where}; run the same command again to go on"
        return
    if result.going_on:
        yield f"{_runs(result.going_on)} still going on: run the same command again later"
    if result.unfinished:
        yield f"{_runs(result.unfinished)} not read to the end: run the same command again later"
    if result.bounds and result.not_yet_shown:
        complete = when(result.bounds.complete_ns / _NS)
        yield f"runs created since {complete} may yet show up: run the same command again in some minutes"


def _runs(count: int) -> str:
    return "1 run is" if count == 1 else f"{count} runs are"
