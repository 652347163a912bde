"""What is remembered of a delivered step, to know later whether it has changed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from bridge.follow.ended import has_tokens
from bridge.follow.reading import Outcome, SettledStep
from bridge.follow.state import Noted
from bridge.source.models import Step

USUAL: Final = Noted()


def note(step: Step, outcome: Outcome) -> Noted:
    """All that can change of a step after it was sent.

    Args:
        step: its row.
        outcome: as what it is sent.
    """
    usual_end = outcome is Outcome.SUCCESS and step.stop_reason == "end_turn"
    return Noted(
        outcome=outcome.value,
        stop_reason=None if usual_end else step.stop_reason,
        error_type=step.error_type,
        feedback=step.feedback,
        tags=step.tags or (),
        tokens=has_tokens(step),
    )


def unusual(settled: Iterable[SettledStep]) -> dict[str, Noted]:
    """The notes worth keeping, by step id."""
    notes = {one.step.id: note(one.step, one.outcome) for one in settled}
    return {step_id: noted for step_id, noted in notes.items() if noted != USUAL}
