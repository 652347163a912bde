"""How far a run's messages need not be read again. Pure."""

from __future__ import annotations

from bridge.follow.reading import Decision, Reading


def message_cursor(decision: Decision, reading: Reading) -> str | None:
    """The last message before the first one whose step is not delivered, be it on this page or not yet seen.

    Messages without a step (approvals) and of earlier runs' steps are done with as soon as the step after them is.
    """
    done = {settled.step.id for settled in decision.settled}.union(decision.run.delivered, reading.foreign_steps)
    cursor = decision.run.message_cursor
    if not decision.settled:
        return cursor
    for message in reading.messages:
        if message.step_id and message.step_id not in done:
            break
        cursor = message.id
    return cursor
