"""What the bridge remembers of a run between two visits.

Times are seconds since the Unix epoch by the bridge's clock, except where the name ends in `_ns`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Phase(StrEnum):
    """Where a run stands in the ledger."""

    OPEN = "open"  # visited until it is over and drained
    DORMANT = "dormant"  # without news for so long that its span is sent, though it may yet go on: woken when it ends
    CLOSED = "closed"  # a tombstone, kept as long as the run can still come up in a listing, or is watched


@dataclass(frozen=True, slots=True)
class Sums:
    """Totals over the steps sent so far: the server's own stop counting at 50 steps."""

    steps: int = 0
    failed_steps: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    error_type: str | None = None  # of the last step that failed, was cancelled or abandoned


@dataclass(frozen=True, slots=True)
class Noted:
    """What was told of one delivered step; by default a success with tokens and nothing else.

    Only what is unusual in its run is remembered, so that most steps cost no byte.
    """

    outcome: str = "success"
    stop_reason: str | None = None  # None also for a success's end_turn: most runs' last step has it
    error_type: str | None = None
    feedback: str | None = None
    tags: tuple[str, ...] = ()
    tokens: bool = True  # whether any were counted


class FollowedRun(BaseModel):
    """One run and how far it has been delivered."""

    model_config = ConfigDict(frozen=True)

    id: str
    agent_id: str | None = None
    agent_name: str | None = None  # as it first was known: all of a run is told under one name
    created_ns: int
    phase: Phase = Phase.OPEN
    status: str | None = None
    stop_reason: str | None = None
    first_seen: float
    last_news: float
    last_visit: float = 0.0
    next_visit: float = 0.0
    over_since: float | None = None
    cursor: str | None = None  # every step up to this one is delivered
    trail: tuple[str, ...] = ()  # the last steps up to the cursor, oldest first: delivered too
    sent: tuple[str, ...] = ()  # steps past the cursor that are delivered too
    waiting: dict[str, float] = Field(default_factory=dict)  # steps final or orphaned, not settled → since when
    seen: str = ""  # what the last visit saw, to tell news from none
    message_cursor: str | None = None  # messages up to this one belong to delivered steps
    tools_sent: tuple[str, ...] = ()  # tool calls of earlier runs' steps whose returns came with this run
    trace_id: str | None = None  # 32 hex digits, fixed by the first span sent
    fence_ns: int = 0  # no step still to come may start before this
    sums: Sums = Sums()
    usual: Noted = Noted()  # what its steps mostly are
    noted: dict[str, Noted] = Field(default_factory=dict)  # delivered steps that are otherwise, to compare with later
    told: tuple[str | None, str | None] | None = None  # status, stop reason: where the row says otherwise
    server_ahead: float | None = None  # seconds that the server's clock was ahead at the last visit
    shifted: float = 0.0  # by how much the times above were moved because the bridge's clock had jumped forward
    keep_until: float = 0.0  # a closed run is kept, and looked at again when `next_visit` comes, until then
    span_sent: bool = False  # the run's own span is delivered; a dormant run that wakes does not send it again

    @property
    def delivered(self) -> frozenset[str]:
        """The steps known to be delivered one by one; of the others only that they lie before the cursor."""
        return frozenset((*self.trail, *self.sent))
