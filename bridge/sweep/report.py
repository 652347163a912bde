"""What one sweep may do, and what it did. Plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.errors import LettaError
from bridge.sweep.sender import BackendWaiting


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one sweep may do.

    Attributes:
        concurrency: visits at the same time, under the one request budget.
        patience: seconds after which a sweep leaves the rest to the next, so that new runs are noticed in time.
        late: seconds past its time after which a visit does without lengths.
        look_requests: requests that looks at closed runs may take; what one sweep overspends the next has less.
    """

    concurrency: int
    patience: float
    late: float = 30.0
    look_requests: float = 0.0


@dataclass(slots=True)
class Report:
    """What one sweep did.

    Attributes:
        visits: runs looked at.
        steps: steps settled and sent.
        closed: runs that got their own span.
        spans: spans accepted.
        left: due runs, or runs to be found, were left to the next sweep.
        listing: there are runs to be found, and how far the list was read is known to this process alone.
        postponed: why runs could not be read when they were last visited.
        stopped: whether it was cut short by `stop`.
        problem: why it ended early, in one line; None when it did not.
        retry_after: seconds to wait that Letta or the backend asked for.
    """

    visits: int = 0
    steps: int = 0
    closed: int = 0
    spans: int = 0
    left: bool = False
    listing: bool = False
    postponed: Sequence[str] = ()
    stopped: bool = False
    problem: LettaError | BackendWaiting | None = None
    retry_after: float | None = None
