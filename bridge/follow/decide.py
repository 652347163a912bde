"""The rules of when a step may be sent and when a run is over. Pure: a state and a reading in, a decision out.

Final is not settled: messages, lengths and the stop reason arrive up to seconds after the status, and a terminal
run changes its mind (cancelled, then completed). So a step waits for what belongs to it, at most `settle`; a run
is closed `settle` after it was first seen over; a step that its run's end left pending waits `abandon_after`.
All facts about the server are of Letta 0.16.8.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from bridge.follow.clocks import steady
from bridge.follow.ended import ACTIVE, TERMINAL, is_interrupted, is_over, is_pending, outcome
from bridge.follow.notes import unusual, usual
from bridge.follow.reading import Closing, Decision, Outcome, Reading, SettledStep
from bridge.follow.state import FollowedRun, Phase
from bridge.follow.trail import advance
from bridge.source.models import Run, Step

__all__ = ["ACTIVE", "Policy", "decide", "is_over", "over_since"]

_QUIET_SHARE: Final = 0.1  # a run without news for 100 s is looked at every 10 s
_NEXT_SWEEP: Final = 0.1  # seconds: soon, but not again in the sweep that is under way
_AT_ONCE: Final = 0.0


@dataclass(frozen=True, slots=True)
class Policy:
    """The user's patience, in seconds.

    Attributes:
        settle: the longest wait for what belongs to a final step or run.
        abandon_after: grace for a pending step of a run that is over.
        stale_after: how long an open run may go without news.
        watch_for: how long a closed run is looked at again; 0 for not at all.
    """

    settle: float
    abandon_after: float
    stale_after: float
    watch_for: float = 0.0


def decide(followed: FollowedRun, reading: Reading, policy: Policy) -> Decision:
    """What to send of the run now, and what to remember of it.

    Args:
        followed: what was remembered since the last visit.
        reading: what this visit saw.
        policy: the user's patience.
    """
    followed = steady(followed, reading)
    since = _over_since(followed, reading)
    seen = _fingerprint(reading)
    speaking = frozenset(message.step_id for message in reading.messages)
    view = _View(followed, reading, policy, since, speaking, changed=seen != followed.seen)
    verdicts = view.verdicts()
    settled = tuple(SettledStep(step, verdict) for step, verdict in verdicts if verdict)
    at = reading.at
    news = view.changed or bool(settled)
    start = reading.start.step_id if reading.start else followed.cursor
    progress = advance(followed, start, reading.order, {step.step.id for step in settled})
    drained = progress.drained and not reading.more
    due = view.closing() if drained else None
    # A page that brought steps may have been cut.
    once_more = bool(settled) and due is Closing.OVER and not reading.ended
    closing = None if once_more else due
    last_news = at if news else followed.last_news
    waiting = {step.id: view.since(step) for step in view.waiting(verdicts)}
    remembered = {
        "agent_id": reading.run.agent_id or followed.agent_id,
        "status": reading.run.status,
        "stop_reason": reading.run.stop_reason,
        "over_since": since,
        "cursor": progress.cursor,
        "trail": progress.trail,
        "sent": progress.sent,
        "usual": (is_usual := usual(followed, settled)),
        "noted": followed.noted | unusual(settled, is_usual),
        "told": followed.told or ((followed.status, followed.stop_reason) if followed.span_sent else None),
        "waiting": waiting,
        "seen": seen,
        "last_news": last_news,
        "last_visit": at,
        "server_ahead": followed.server_ahead if reading.server_ahead is None else reading.server_ahead,
    }
    if closing:
        may_go_on = closing is Closing.STALE and reading.run.status in ACTIVE
        remembered |= {"phase": Phase.DORMANT if may_go_on else Phase.CLOSED, "sent": (), "waiting": {}}
    elif once_more or (settled and reading.more):
        remembered["next_visit"] = _AT_ONCE
    elif drained and since is not None:
        remembered["next_visit"] = since + policy.settle  # read once more, then closed
    else:
        remembered["next_visit"] = _next_visit(at, last_news, since, waiting.values(), policy)
    return Decision(settled, followed.model_copy(update=remembered), closing)


@dataclass(frozen=True, slots=True)
class _View:
    """One reading, seen with what is remembered and how patient the user is."""

    followed: FollowedRun
    reading: Reading
    policy: Policy
    over_since: float | None
    speaking: frozenset[str | None]
    changed: bool

    def verdicts(self) -> list[tuple[Step, Outcome | None]]:
        """How each step ended that is not delivered, once it may be sent.

        A final step that still waits holds the ones after it, so that they are laid out in their order; a pending
        one holds nobody.
        """
        verdicts: list[tuple[Step, Outcome | None]] = []
        delivered, held = self.followed.delivered, False
        for step in self.reading.steps:
            if step.id not in delivered:
                verdict = None if held else self.verdict(step)
                verdicts.append((step, verdict))
                held = held or (verdict is None and not is_pending(step))
        return verdicts

    def waiting(self, verdicts: Iterable[tuple[Step, Outcome | None]]) -> Iterator[Step]:
        """The steps that are held for what belongs to them; a pending one, once its run is over."""
        for step, verdict in verdicts:
            if verdict is None and (self.over_since is not None or not is_pending(step)):
                yield step

    def verdict(self, step: Step) -> Outcome | None:
        """How one step ended, whatever its neighbours do."""
        waited = self.reading.at - self.since(step)
        if is_pending(step):
            return self._orphaned(waited)
        if waited < self.policy.settle and not self._complete(step):
            return None
        if is_interrupted(step) and self.reading.run.status == "cancelled":
            return Outcome.CANCELLED
        return outcome(step)

    def since(self, step: Step) -> float:
        """Since when the step waits, seconds since the epoch.

        A pending step waits since its run was over; any step of a run that ended before the bridge first saw it
        has waited since then.
        """
        noted = self.followed.waiting.get(step.id, self.reading.at)
        if self.over_since is None:
            return noted
        ended_unseen = self.over_since < self.followed.first_seen
        return min(noted, self.over_since) if ended_unseen or is_pending(step) else noted

    def closing(self) -> Closing | None:
        """Whether a drained run is to be closed."""
        if self.over_since is not None and self.reading.at - self.over_since >= self.policy.settle:
            return Closing.OVER
        return Closing.STALE if self._is_stale() else None

    def _orphaned(self, waited: float) -> Outcome | None:
        if self.over_since is None:
            return Outcome.ABANDONED if self._is_stale() else None
        if waited < self.policy.abandon_after:
            return None
        return Outcome.CANCELLED if self.reading.run.status == "cancelled" else Outcome.ABANDONED

    def _complete(self, step: Step) -> bool:
        """Everything that belongs to the step has arrived."""
        if is_interrupted(step) and not is_over(self.reading.run):
            return False  # whether that was a cancel, only the run's row will tell
        return self._has_messages(step) and self._has_lengths(step) and self._has_stop_reason(step)

    def _has_messages(self, step: Step) -> bool:
        """A failed step has none, not even the user's."""
        return outcome(step) is Outcome.FAILED or step.id in self.speaking

    def _has_lengths(self, step: Step) -> bool:
        metrics = self.reading.step_metrics.get(step.id)
        return not self.reading.measured or (metrics is not None and metrics.step_ns is not None)

    def _has_stop_reason(self, step: Step) -> bool:
        """Steps before the last keep it null for good."""
        return bool(step.stop_reason) or self.over_since is not None or step is not self.reading.steps[-1]

    def _is_stale(self) -> bool:
        quiet = self.reading.at - self.followed.last_news
        return not self.changed and quiet >= self.policy.stale_after


def over_since(run: Run, followed: FollowedRun, *, at: float, server_now: float | None) -> float | None:
    """Since when the run is over by the bridge's clock, as far as its row and the last visit tell; None if it is not.

    A run that ended before it was first seen counts from its completed_at, by the server's clock on both sides.
    A run whose status changed again (cancelled, then completed) counts from now.

    Args:
        run: its row.
        followed: what was remembered since the last visit.
        at: the bridge's clock.
        server_now: the server's; None where it is not known.
    """
    if not is_over(run):
        return followed.over_since
    if followed.over_since is None:
        return at - _age(run, server_now)
    return at if run.status != followed.status and followed.status in TERMINAL else followed.over_since


def _over_since(followed: FollowedRun, reading: Reading) -> float | None:
    """The same, as the steps tell too: a conversation's run is over with its last one, and goes on with another."""
    since = over_since(reading.run, followed, at=reading.at, server_now=reading.server_now)
    if is_over(reading.run):
        return since
    if _last_step_ended(reading):
        return reading.at if since is None else since
    return None if reading.steps else since


def _age(run: Run, server_now: float | None) -> float:
    if server_now is None or run.completed_at is None:
        return 0.0
    return max(0.0, server_now - run.completed_at.timestamp())


def _last_step_ended(reading: Reading) -> bool:
    """A conversation's run stays `created` for ever; its last step tells, for only the last has a stop reason."""
    if reading.more or not reading.steps:
        return False
    last = reading.steps[-1]
    return not is_pending(last) and last.stop_reason is not None


def _fingerprint(reading: Reading) -> str:
    last = reading.steps[-1] if reading.steps else None
    tail = f"{last.id} {last.status} {last.stop_reason}" if last else "-"
    return f"{reading.run.status} {reading.run.stop_reason} {tail}"


def _next_visit(
    at: float, last_news: float, over_since: float | None, waiting: Iterable[float], policy: Policy
) -> float:
    """Soon after news, then ever more rarely, but never past the moment when something becomes due."""
    next_visit = at + max(_NEXT_SWEEP, (at - last_news) * _QUIET_SHARE)
    deadlines = [since + policy.settle for since in waiting]
    if over_since is None:
        deadlines.append(last_news + policy.stale_after)
    else:
        deadlines += [over_since + policy.settle, over_since + policy.abandon_after]
    return min([next_visit, *(deadline for deadline in deadlines if deadline > at)])
