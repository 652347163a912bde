"""What is left of a run once its span is sent: small, and looked at again ever more rarely. Pure.

The first look comes five minutes after the closing or the last news, each further one when that time has doubled,
the last one shortly before the watch ends. A run that still awaits an approval is looked at hourly, past the end of
the watch ever more rarely, for as long as it does: nothing else would tell that it was cancelled.
"""

from __future__ import annotations

from typing import Final

from bridge.follow.ended import run_state
from bridge.follow.reading import Closing
from bridge.follow.state import FollowedRun, Phase, Sums
from bridge.source.models import Run

_FIRST_LOOK: Final = 300.0
_APPROVAL_LOOK: Final = 3600.0
_APPROVAL_SHARE: Final = 1 / 168  # of its age: hourly for a week
_LAST_LOOK: Final = 0.05  # of the watch, before its end


def entomb(run: FollowedRun, row: Run, closing: Closing, *, at: float, watch_for: float) -> FollowedRun:
    """The run with its span sent, and without what only an open one needs.

    Args:
        run: closed or dormant.
        row: as it was when that was made.
        closing: why it was made.
        at: the bridge's clock.
        watch_for: seconds; how long it is looked at again.
    """
    said = (run_state(row, closing, run.sums), row.stop_reason)
    closed = run.phase is Phase.CLOSED
    keep_until = at + watch_for if closed and watch_for else 0.0
    return run.model_copy(
        update={
            "span_sent": True,
            "trail": () if closed else run.trail,
            "sent": (),
            "waiting": {},
            "seen": "",
            "sums": Sums(steps=run.sums.steps, failed_steps=run.sums.failed_steps),
            "told": None if said == (row.status, row.stop_reason) else said,
            "server_ahead": None,
            "shifted": 0.0,
            **_next_look(at, keep_until, at=at, watch_for=watch_for, awaits_approval=False),
        }
    )


def next_look(run: FollowedRun, *, at: float, watch_for: float, awaits_approval: bool) -> FollowedRun:
    """The tombstone with the time of its next look, and of its end.

    Args:
        run: closed, or dormant: that one is looked at for as long as it sleeps.
        at: the bridge's clock.
        watch_for: seconds; as it is set now.
        awaits_approval: whether it still does.
    """
    news = min(run.last_news, at)  # the clock may have been set back
    look = _next_look(news, run.keep_until, at=at, watch_for=watch_for, awaits_approval=awaits_approval)
    return run.model_copy(update=look)


def _next_look(
    news: float, keep_until: float, *, at: float, watch_for: float, awaits_approval: bool
) -> dict[str, float]:
    keep_until = min(keep_until, at + watch_for) if watch_for else 0.0
    wait = max(_FIRST_LOOK, at - news)
    if awaits_approval and watch_for:
        wait = min(wait, max(_APPROVAL_LOOK, (at - news) * _APPROVAL_SHARE))
        keep_until = at + watch_for
    last = keep_until - watch_for * _LAST_LOOK
    due = at + wait if at + wait <= last or at >= last else last
    return {"last_news": news, "last_visit": at, "next_visit": due, "keep_until": keep_until}


def reopened(run: FollowedRun, *, at: float) -> FollowedRun:
    """The run to be followed again; its own span is not sent a second time."""
    return run.model_copy(
        update={"phase": Phase.OPEN, "last_news": at, "last_visit": at, "next_visit": at, "keep_until": 0.0}
    )


def gone(run: FollowedRun) -> FollowedRun:
    """The tombstone of a run that Letta no longer has: not watched, and it awaits no approval any more."""
    return run.model_copy(
        update={"phase": Phase.CLOSED, "stop_reason": None, "sent": (), "waiting": {}, "seen": "", "keep_until": 0.0}
    )
