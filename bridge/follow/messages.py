"""How far a run's messages need not be read again. Pure."""

from __future__ import annotations

from bridge.follow.reading import Decision, Reading


def message_cursor(decision: Decision, reading: Reading) -> str | None:
    """The last message before the first one that belongs to a step still to be sent.

    Messages without a step (approvals) and of earlier runs' steps are done with as soon as the step after them is.
    """
    unsent = set(reading.order) - {settled.step.id for settled in decision.settled} - set(decision.run.sent)
    cursor = decision.run.message_cursor
    if not decision.settled:
        return cursor
    for message in reading.messages:
        if message.step_id in unsent:
            break
        cursor = message.id
    return cursor
