"""How long a backfill waits for a run: hardly, since what is old has had its time. Pure.

A run that is active by its status and older than `stale_after` is a zombie, as far as anyone can tell from a list:
it is closed as stale once it stayed as it was for the settle time. A younger one is left open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from bridge.follow.decide import ACTIVE, Policy, decide
from bridge.follow.reading import Decision, Reading
from bridge.follow.state import FollowedRun

_APART: Final = 5.0  # seconds between two visits to a run that waits, at least
_NS: Final = 1_000_000_000


def judge(followed: FollowedRun, reading: Reading, policy: Policy) -> Decision:
    """`decide` with less patience for zombies, and no visit twice within seconds but one that is due at once."""
    server_now = reading.at if reading.server_now is None else reading.server_now
    age = server_now - reading.run.created_at.timestamp()
    if reading.run.status in ACTIVE and age >= policy.stale_after:
        policy = replace(policy, stale_after=min(policy.settle, policy.stale_after))
    decision = decide(followed, reading, policy)
    if is_at_once(decision.run):
        return decision
    next_visit = max(decision.run.next_visit, reading.at + min(_APART, policy.settle))
    return replace(decision, run=decision.run.model_copy(update={"next_visit": next_visit}))


def is_at_once(run: FollowedRun) -> bool:
    """Whether a run is to be visited before anything else is begun: for the first time, or to read on."""
    return run.last_visit == 0 or run.next_visit == 0


def going_on(runs: Iterable[FollowedRun], *, server_now: float, stale_after: float) -> list[FollowedRun]:
    """Those of some open runs that nobody can wait for: active, and too young to be zombies."""
    youngest_zombie = round((server_now - stale_after) * _NS)
    return [
        run for run in runs if run.status in ACTIVE and run.over_since is None and run.created_ns > youngest_zombie
    ]
