"""What a ledger tells of itself: the gauges for metrics, and what a person is shown at a glance. Data alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.follow.state import FollowedRun


@dataclass(frozen=True, slots=True)
class OpenRuns:
    """The gauges of the open runs; a dormant one is not open: it is a zombie, and would only ever grow older.

    Attributes:
        by_status: how many, by status; `unknown` where Letta gave none.
        oldest_created_ns: created_at of the oldest, ns since the epoch; None without open runs.
        awaiting_approval: runs that stopped for an approval and are still their agent's newest run. Such a run is
            over for Letta: it counts, open or tombstone, for as long as the ledger knows it.
    """

    by_status: Mapping[str, int]
    oldest_created_ns: int | None
    awaiting_approval: int


@dataclass(frozen=True, slots=True)
class LetterHead:
    """A dead letter without its payload, which can have megabytes.

    Attributes:
        id: its number, which a person names it by.
        kept_at: seconds since the epoch.
        kind: see `DeadLetter`, as for the others.
        source: what it is of.
        reason: why.
    """

    id: int
    kept_at: float
    kind: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Glance:
    """One stream.

    Attributes:
        version: of the schema.
        start_ns: since when the totals count, ns since the epoch.
        origin_ns: runs created before it are not the stream's business; None until the first sweep.
        watermark_ns: up to where every run is known; None until the first sweep.
        open_runs: how many, by status, the most frequent first.
        dormant_runs: the same.
        oldest: the first few open runs by creation.
        dormant: the last few dormant runs by creation.
        awaiting_approval: how many runs wait for one.
        waiting: the first few of them by creation.
        in_flight: (spans, bytes) of the batch that is put aside; None where there is none.
        exports: requests with differences of metrics that are put aside.
        dead_letters: how many are kept.
        newest_letters: the last few of them, the newest first.
    """

    version: int
    start_ns: int
    origin_ns: int | None
    watermark_ns: int | None
    open_runs: Mapping[str, int]
    dormant_runs: Mapping[str, int]
    oldest: Sequence[FollowedRun]
    dormant: Sequence[FollowedRun]
    awaiting_approval: int
    waiting: Sequence[FollowedRun]
    in_flight: tuple[int, int] | None
    exports: int
    dead_letters: int
    newest_letters: Sequence[LetterHead]
