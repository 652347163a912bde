"""What has changed of a run since its span was sent: told once, as an event, never as a second span. Pure.

A look compares the run's row and its steps with what is remembered of them, and remembers what it finds, so that each
change is told once. A step that was never delivered opens the run again, and is sent as any other; so does a run that
turns active again. A row that is gone is no change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from bridge.follow import ended
from bridge.follow.notes import note
from bridge.follow.reading import Closing, Outcome
from bridge.follow.state import FollowedRun, Noted, Phase
from bridge.follow.tombstone import reopened
from bridge.source.models import Run, Step


@dataclass(frozen=True, slots=True)
class Look:
    """What was read of a closed or dormant run.

    Attributes:
        run: its row, read before its steps.
        steps: all of them, oldest first.
        order: ids of everything in that list, steps that could not be read included.
        at: the bridge's clock, seconds since the epoch.
    """

    run: Run
    steps: tuple[Step, ...]
    order: tuple[str, ...]
    at: float


@dataclass(frozen=True, slots=True)
class RunChange:
    """A run's end, as it was told and as it is."""

    previous_status: str | None
    previous_stop_reason: str | None
    status: str | None
    stop_reason: str | None


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step as it was told and as it is."""

    step: Step
    before: Noted
    after: Noted

    @property
    def of_status(self) -> bool:
        """Whether it ended otherwise."""
        return _end(self.before) != _end(self.after)

    @property
    def of_tags(self) -> bool:
        """Whether tags were added or removed."""
        return self.before.tags != self.after.tags

    @property
    def of_feedback(self) -> bool:
        """Whether feedback was given, changed or withdrawn."""
        return self.before.feedback != self.after.feedback

    @property
    def of_tokens(self) -> bool:
        """Whether there were none when it was sent, and now there are."""
        return self.after.tokens and not self.before.tokens


@dataclass(frozen=True, slots=True)
class Late:
    """What a look, or a run's second end, leads to.

    Attributes:
        run: as it is to be remembered once the changes are delivered.
        of_run: None where its end is as it was told.
        of_steps: oldest first.
    """

    run: FollowedRun
    of_run: RunChange | None = None
    of_steps: tuple[StepChange, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything has changed."""
        return self.of_run is not None or bool(self.of_steps)


def compare(followed: FollowedRun, look: Look) -> Late:
    """What a look at a run has found; its next one is for the caller to set.

    A dormant run that has ended is followed again: what changed, its second end tells.
    """
    if followed.phase is Phase.DORMANT and look.run.status not in ended.ACTIVE:
        return Late(reopened(followed, at=look.at))
    before, now = _told(followed), (look.run.status, look.run.stop_reason)
    of_run = _run_change(followed, look.run, before)
    said = now if of_run else before
    delivered, undelivered = _split(followed, look)
    of_steps = tuple(_step_changes(followed, look.run, delivered))
    notes = {**followed.noted, **{change.step.id: change.after for change in of_steps}}
    run = followed.model_copy(
        update={
            "status": look.run.status,
            "stop_reason": look.run.stop_reason,
            "told": None if said == now else said,
            "noted": {step_id: noted for step_id, noted in notes.items() if noted != followed.usual},
            "last_news": look.at if of_run or of_steps else followed.last_news,
        }
    )
    if look.run.status in ended.ACTIVE and followed.status not in ended.ACTIVE:
        run = reopened(run, at=look.at).model_copy(update={"over_since": None})
    elif undelivered:
        run = reopened(run, at=look.at)
    return Late(run, of_run, of_steps)


def second_end(run: FollowedRun, row: Run, closing: Closing) -> Late:
    """What has changed of a run that is closed again: its span is sent, and that said `run.told`.

    Args:
        run: all of its steps mapped.
        row: the last look at it.
        closing: why it is closed.
    """
    now = (ended.run_state(row, closing, run.sums), row.stop_reason)
    return Late(run, RunChange(*run.told, *now) if run.told and run.told != now else None)


def _told(followed: FollowedRun) -> tuple[str | None, str | None]:
    return followed.told or (followed.status, followed.stop_reason)


def _run_change(followed: FollowedRun, row: Run, before: tuple[str | None, str | None]) -> RunChange | None:
    now = (row.status, row.stop_reason)
    if now in (before, (followed.status, followed.stop_reason)) or row.status in ended.ACTIVE:
        return None  # one that is active again tells of its change when it ends
    return RunChange(*before, *now)


def _split(followed: FollowedRun, look: Look) -> tuple[list[Step], bool]:
    """The steps that are delivered, and whether there are others.

    Where the cursor's row is gone nobody can tell the others, and all are taken for delivered.
    """
    if followed.cursor is None:
        return [], bool(look.order)
    if followed.cursor not in look.order:
        return list(look.steps), False
    end = look.order.index(followed.cursor) + 1
    known = set(look.order[:end])
    return [step for step in look.steps if step.id in known], end < len(look.order)


def _step_changes(followed: FollowedRun, row: Run, steps: list[Step]) -> Iterator[StepChange]:
    for step in steps:
        before = followed.noted.get(step.id, followed.usual)
        change = StepChange(step, before, _now(step, row, before))
        if change.before != change.after:
            yield change


def _now(step: Step, row: Run, before: Noted) -> Noted:
    """The step as it would be told now; what only looks different stays as it was."""
    if ended.is_pending(step):  # it was sent as cancelled or abandoned, and nothing says otherwise
        now = replace(before, feedback=step.feedback, tags=step.tags or ())
    else:
        now = note(step, _outcome(step, row, before))
    tags = before.tags if set(now.tags) == set(before.tags) else now.tags
    return replace(now, tags=tags, tokens=before.tokens or now.tokens)


def _outcome(step: Step, row: Run, before: Noted) -> Outcome:
    cancelled = ended.CANCELLED in (row.status, before.outcome)
    return Outcome.CANCELLED if ended.is_interrupted(step) and cancelled else ended.outcome(step)


def _end(noted: Noted) -> tuple[str, str | None, str | None]:
    return noted.outcome, noted.stop_reason, noted.error_type
