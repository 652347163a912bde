"""How a run or a step ended, as Letta's rows tell. Pure. All facts about the server are of Letta 0.16.8."""

from __future__ import annotations

from typing import Final

from bridge.follow.reading import Closing, Outcome
from bridge.follow.state import Sums
from bridge.source.models import Run, Step

ACTIVE: Final = frozenset({"created", "running"})
CANCELLED: Final = "cancelled"
ABANDONED: Final = "abandoned"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
TERMINAL: Final = frozenset({COMPLETED, FAILED, CANCELLED})

_AS_IT_SAYS: Final = {known.value: known for known in (Outcome.SUCCESS, Outcome.FAILED, Outcome.CANCELLED)}


def is_over(run: Run) -> bool:
    """Whether the run's own row says that it ended."""
    return run.status in TERMINAL or (run.status not in ACTIVE and run.completed_at is not None)


def run_state(run: Run, closing: Closing, sums: Sums) -> str | None:
    """How the run ended: as Letta says, except where it leaves a run active for ever.

    One without news is abandoned. One that is over by its last step (a conversation's message) is what that step
    is: a step that fails ends its run.
    """
    if closing is Closing.STALE:
        return ABANDONED
    if run.status not in ACTIVE:
        return run.status
    return FAILED if sums.failed_steps else COMPLETED


def awaits_approval(status: str | None, stop_reason: str | None) -> bool:
    """Whether a run stopped for an approval and was not cancelled; that it was given, only a later run shows."""
    return stop_reason == "requires_approval" and status != CANCELLED


def is_pending(step: Step) -> bool:
    """Whether the step is not over, by its row."""
    return step.status == "pending"


def is_interrupted(step: Step) -> bool:
    """What is left of a cancelled stream: failed as Unknown, 1 to 9 s after its run was cancelled."""
    return step.status == "failed" and step.error_type in (None, "Unknown")


def outcome(step: Step) -> Outcome:
    """What Letta says; a status never seen before is judged by whether there is an error."""
    said = _AS_IT_SAYS.get(step.status or "")
    return said or (Outcome.FAILED if step.error_type else Outcome.SUCCESS)


def has_tokens(step: Step) -> bool:
    """Whether a single token was counted: a step that failed, or broke off, shows zeros."""
    return bool(step.prompt_tokens or step.completion_tokens or step.total_tokens)
