"""The protocol of a ledger, and the data that go in and out.

A ledger belongs to one stream: one Letta server (and project) towards one destination. What the stream has
delivered and what it has counted change in one transaction, after the backend's yes (`commit`). Before a batch is
sent, its exact bytes are put aside (`prepare`), so that what a crash interrupts is sent again byte for byte even
when Letta's rows have changed since.

Every method raises LedgerError, with one line for a person, when the storage fails.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import BaseModel, ConfigDict

from bridge.follow.state import FollowedRun
from bridge.ledger.figures import Glance, OpenRuns
from bridge.map.failures import Failure
from bridge.map.series import AttributeValue, SeriesKey
from bridge.map.telemetry import Measurements
from bridge.map.totals import Total

__all__ = [
    "OVERFLOW",
    "SERIES_AT_MOST",
    "Batch",
    "DeadLetter",
    "Export",
    "KeptExport",
    "KeptLetter",
    "Ledger",
    "Plan",
    "SeriesKey",
    "Told",
    "Total",
]

OVERFLOW: Final = (("otel.metric.overflow", True),)  # OpenTelemetry's set of attributes for what has no room
SERIES_AT_MOST: Final = 2000  # sets of attributes that an instrument may have, as in OpenTelemetry's SDKs


class DeadLetter(BaseModel):
    """Something that can never be delivered, kept with the reason.

    Attributes:
        kind: `span`, `spans` (some of these were rejected, the backend does not say which), `event`, `events` (the
            same of log records), `step`, `run` or `message` (a record of Letta's that could not be read), `remainder`
            (a run of which some steps are delivered, and which ones is no longer known).
        source: what it is of: a span, step or run id, or the request it came from.
        reason: why, in the words of whoever refused it.
        payload: the serialised ExportTraceServiceRequest or ExportLogsServiceRequest, or the JSON text as Letta
            sent it.
    """

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    kind: str
    source: str
    reason: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter as it lies in the ledger.

    Attributes:
        id: its number, which a person names it by.
        kept_at: seconds since the epoch.
        letter: what was kept.
    """

    id: int
    kept_at: float
    letter: DeadLetter


class Plan(BaseModel):
    """What becomes true once a batch is delivered.

    Attributes:
        runs: the runs as they are to be remembered.
        totals: what to add, by series.
        dead_letters: records that could not be read, met on the way.
        steps_watermark: how far the global step list has been read, seconds since the epoch; None: unchanged.
        loose_steps: ids of delivered steps without a run, added to those known → when (seconds).
        failures: what went wrong, in the order in which it was seen; the newest are kept.
        loose_steps_since: forget the loose steps from before this time (seconds); None: forget none.
    """

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    runs: tuple[FollowedRun, ...] = ()
    totals: tuple[tuple[str, tuple[tuple[str, AttributeValue], ...], Total], ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    steps_watermark: float | None = None
    loose_steps: Mapping[str, float] = {}
    loose_steps_since: float | None = None
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Spans and log events on their way, and what becomes true when they have arrived.

    Attributes:
        payloads: serialised ExportTraceServiceRequests, each within the limits of one request; may be empty.
        spans: how many spans they hold together.
        plan: what `commit` makes true.
        logs: serialised ExportLogsServiceRequests, sent after the spans that they are about; may be empty.
        examples: the measurements that name their span, for exemplars; not kept: a crash loses them and nothing else.
    """

    payloads: tuple[bytes, ...]
    spans: int
    plan: Plan
    logs: tuple[bytes, ...] = ()
    examples: tuple[Measurements, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """What a backend has been told by exports of differences.

    Attributes:
        until_ns: the end of the last export; before the first, when the totals began to count.
        series: of each series what those exports add up to, and until when (ns since the epoch) it was told of.
    """

    until_ns: int
    series: Mapping[SeriesKey, tuple[Total, int]]


@dataclass(frozen=True, slots=True)
class Export:
    """Differences on their way.

    Attributes:
        payload: a serialised ExportMetricsServiceRequest.
        told: what the backend has been told of each series in it, once it took it.
    """

    payload: bytes
    told: Mapping[SeriesKey, Total]


@dataclass(frozen=True, slots=True)
class KeptExport:
    """An export that was put aside and is not settled yet.

    Attributes:
        id: its number.
        payload: the bytes, as they were put aside.
    """

    id: int
    payload: bytes


class Ledger(Protocol):
    """Where one stream stands."""

    async def start_ns(self) -> int:
        """When the stream's totals began to count, nanoseconds since the epoch."""
        ...

    async def origin(self) -> int | None:
        """Runs created before this (ns since the epoch) are not the stream's business; None until `begin`."""
        ...

    async def begin(self, origin_ns: int) -> None:
        """Fix the origin, once: a later call changes nothing."""
        ...

    async def watermark(self) -> int | None:
        """created_at of the newest run up to which every run is known, ns since the epoch; None at first."""
        ...

    async def discover(
        self,
        runs: Sequence[FollowedRun],
        *,
        now: float,
        watermark_ns: int | None = None,
        forget_before_ns: int | None = None,
    ) -> int:
        """Enter the runs that are not known yet, advance the watermark, forget tombstones.

        Safe to repeat: a run that is known is left as it is, and the watermark never goes back. Only where a closed
        run is listed with another status or stop reason than it was remembered with, a look at it is due at once.
        Forgotten are closed runs created before `forget_before_ns` whose `keep_until` is past, except those with a
        look due, those that still count as awaiting an approval, and those that end the wait of one which stays.
        Returns how many runs were new.
        """
        ...

    async def active(self) -> Sequence[tuple[str, int]]:
        """(id, created_ns) of every open or dormant run that was active when last seen."""
        ...

    async def wake(self, ids: Collection[str], *, now: float) -> None:
        """Make open and dormant runs due now, before all others; closed and unknown ones are left alone."""
        ...

    async def due(self, *, now: float, limit: int) -> Sequence[FollowedRun]:
        """Open runs whose next visit has come: those just woken, then the longest unvisited first.

        A run whose last visit lies ahead of `now` is due as well: the clock was set back since.
        """
        ...

    async def looks(self, *, now: float, limit: int) -> Sequence[FollowedRun]:
        """Closed and dormant runs to look at again for late changes.

        Due are those that `discover` saw changed; after them the closed ones whose `keep_until` is not past and
        whose `next_visit` is; after them the dormant ones whose `next_visit` is past: each time the most overdue
        first. Storing a run anew is what settles a look at it.
        """
        ...

    async def run(self, run_id: str) -> FollowedRun | None:
        """One run in whatever phase, or None."""
        ...

    async def steps_watermark(self) -> float | None:
        """How far the global step list has been read, seconds since the epoch; None at first."""
        ...

    async def loose_steps(self) -> Collection[str]:
        """Ids of the steps without a run delivered lately: no older than the list's overlap."""
        ...

    async def prepare(self, batch: Batch) -> None:
        """Put a batch aside, byte for byte, before it is sent. One at a time: a second one raises LedgerError."""
        ...

    async def in_flight(self) -> Batch | None:
        """The batch that was put aside and not committed: what a crash interrupted."""
        ...

    async def commit(self, batch: Batch, dead_letters: Sequence[DeadLetter] = ()) -> None:
        """In one transaction: make the batch's plan true, keep the dead letters, clear what was put aside."""
        ...

    async def totals(self) -> Mapping[SeriesKey, Total]:
        """Every series of the stream."""
        ...

    async def open_runs(self) -> OpenRuns:
        """The gauges."""
        ...

    async def awaiting_approval(self) -> Collection[str]:
        """Ids of the runs that the gauge counts as awaiting an approval."""
        ...

    async def failures(self) -> Sequence[Failure]:
        """What went wrong lately, the newest first; no more are kept than a person or an alert asks for."""
        ...

    async def told(self) -> Told:
        """What the backend has been told by exports of differences."""
        ...

    async def put_exports_aside(self, exports: Sequence[Export], *, until_ns: int) -> None:
        """Put the differences of one moment aside, byte for byte, before they are sent; they go on from `told`.

        Raises:
            LedgerError: also where those of another moment are not all settled.
        """
        ...

    async def exports_aside(self) -> Sequence[KeptExport]:
        """What was put aside and not settled, the oldest first: what is to be sent before anything new."""
        ...

    async def settle_export(self, number: int, *, taken: bool) -> None:
        """The backend took it; or it never will, and its values go on to wait for the next export."""
        ...

    async def dead_letter_count(self) -> int:
        """How many dead letters are kept."""
        ...

    async def dead_letters(self, *, after: int = 0, limit: int = 100) -> Sequence[KeptLetter]:
        """The letters with a number above `after`, oldest first."""
        ...

    async def dead_letter(self, number: int) -> KeptLetter | None:
        """One letter, or None."""
        ...

    async def settle_dead_letter(
        self, number: int, *, plan: Plan | None = None, rest: Sequence[DeadLetter] = ()
    ) -> bool:
        """In one transaction: make the plan true, put `rest` in the letter's place, and the letter is gone.

        What is in flight is left alone, so that this can be done beside a running service. Returns False, and does
        nothing, where the letter is no longer there.
        """
        ...

    async def glance(self) -> Glance:
        """What a person is shown of the stream, all at one moment."""
        ...

    async def size_bytes(self) -> int:
        """What the ledger takes on disk."""
        ...

    async def close(self) -> None:
        """Close the storage."""
        ...
