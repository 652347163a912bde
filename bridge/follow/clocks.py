"""Hold the remembered times steady when the bridge's clock is set. Pure.

Two visits tell how long it was by the bridge's clock and by the server's (its Date header). Where the bridge's ran
ahead by more than a minute, the times remembered move along with it, and back when it comes back: so nothing is
closed as stale, abandoned or settled for an hour that never passed. A time that then still lies ahead of the clock is
taken as now, so that a clock set back costs one more wait and no stall.

What this cannot see: a jump of less than a minute, a jump while the server gives no Date header, and one of a
machine that both clocks are on. A run closed too early by such a jump is followed again when it goes on; of a wait
that was cut short by it, what had not arrived (messages, lengths) is missing.
"""

from __future__ import annotations

from typing import Final

from bridge.follow.reading import Reading
from bridge.follow.state import FollowedRun

_JUMP: Final = 60.0  # seconds; a Date header has whole ones, and a reading can take some


def steady(followed: FollowedRun, reading: Reading) -> FollowedRun:
    """The run with its times as they would be had the bridge's clock always run as it does now."""
    shift = _shift(followed, reading.server_ahead)
    newest = max(followed.first_seen, followed.last_news, followed.over_since or 0.0, *followed.waiting.values())
    if not shift and newest <= reading.at:
        return followed

    def moved(time: float) -> float:
        return min(time + shift, reading.at)

    return followed.model_copy(
        update={
            "first_seen": moved(followed.first_seen),
            "last_news": moved(followed.last_news),
            "over_since": None if followed.over_since is None else moved(followed.over_since),
            "waiting": {step_id: moved(since) for step_id, since in followed.waiting.items()},
            "shifted": followed.shifted + shift,
        }
    )


def _shift(followed: FollowedRun, ahead: float | None) -> float:
    """Seconds that the bridge's clock ran ahead since the last visit.

    Negative where it comes back, but by no more than it was ahead: otherwise it may as well be the server's clock
    that was set forward, and then nothing is older than the bridge says.
    """
    if followed.server_ahead is None or ahead is None:
        return 0.0
    jump = followed.server_ahead - ahead
    if abs(jump) <= _JUMP:
        return 0.0
    return max(jump, -followed.shifted)
