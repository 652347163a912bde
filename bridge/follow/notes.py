"""What is remembered of a delivered step, to know later whether it has changed. Pure.

Of most steps nothing is: what is usual is noted once for the whole run. That is what its first delivered step was,
for where one step has tags, or no tokens, mostly all have: so a run of 20,000 such steps is no more to remember.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bridge.follow.ended import has_tokens
from bridge.follow.reading import SUCCESS, Outcome, SettledStep
from bridge.follow.state import FollowedRun, Noted
from bridge.source.models import Step

_END: Final = "end_turn"


def note(step: Step, outcome: Outcome) -> Noted:
    """All that can change of a step after it was sent.

    Args:
        step: its row.
        outcome: as what it is sent.
    """
    return Noted(
        outcome=outcome.value,
        stop_reason=_stop_reason(step, outcome),
        error_type=step.error_type,
        feedback=step.feedback,
        tags=step.tags or (),
        tokens=has_tokens(step),
    )


def usual(followed: FollowedRun, settled: Sequence[SettledStep]) -> Noted:
    """What the run's steps mostly are: noted when the first of them is sent; never that they go wrong."""
    if followed.cursor or followed.sent or not settled or _is(settled[0], followed.usual):
        return followed.usual
    return note(*settled[0]) if settled[0].outcome is SUCCESS else followed.usual


def unusual(settled: Iterable[SettledStep], usual: Noted) -> dict[str, Noted]:
    """The notes worth keeping, by step id."""
    return {one.step.id: note(*one) for one in settled if not _is(one, usual)}


def _is(settled: SettledStep, usual: Noted) -> bool:
    """Whether the step's note would be this one, without making it."""
    step, outcome = settled
    return (
        outcome == usual.outcome
        and _stop_reason(step, outcome) == usual.stop_reason
        and step.error_type == usual.error_type
        and step.feedback == usual.feedback
        and (step.tags or ()) == usual.tags
        and has_tokens(step) == usual.tokens
    )


def _stop_reason(step: Step, outcome: Outcome) -> str | None:
    return None if outcome is SUCCESS and step.stop_reason == _END else step.stop_reason
