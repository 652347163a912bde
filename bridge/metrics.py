"""The metrics for whoever asks: the page /metrics at any moment, and the backend at every interval.

The page has totals. The backend gets totals too, and what does not arrive is made good by the next export; or, where
it wants differences (delta temporality), each is put aside in the ledger, sent, and settled by the answer: taken, it
is never sent again; not answered, the same bytes are sent again before anything new, also by the next process;
refused for good, its values wait for the next export. Of a part that was refused nobody knows which: it is lost. The
bridge's own differences live in memory, where a refusal or a restart loses them.

A trouble is said once when it begins and once when it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.resources import Resource

from bridge.export.answers import Accepted, Answer, PartlyRejected, Refused, Signal, Sink, TooLarge
from bridge.export.deltas import Difference, differences
from bridge.export.examples import Examples
from bridge.export.gauges import gauge_points
from bridge.export.metrics import Counted, GaugePoints, metrics_request
from bridge.ledger.ledger import OVERFLOW, Export, Ledger
from bridge.log import get_logger
from bridge.map.series import SeriesKey
from bridge.map.totals import Total
from bridge.observe import SelfMetrics
from bridge.trouble import Trouble

_log = get_logger(__name__)

_NS: Final = 1_000_000_000
_SERIES_A_REQUEST: Final = 1000  # of 600 bytes at most: far below the 4 MiB that gRPC servers take

T = TypeVar("T")


class _Waiting(Exception):
    """The backend takes no metrics now: this export is over."""


class Metrics:
    """All metrics of the stream, and the bridge's own."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        sink: Sink,
        own: SelfMetrics,
        resource: Resource,
        examples: Examples,
        delta: bool = False,
        trace_url: str | None = None,
    ) -> None:
        """Take the parts.

        Args:
            ledger: has the totals and the failures.
            sink: where exports go.
            own: the bridge's own metrics.
            resource: of the stream's.
            examples: filled by whoever commits.
            delta: whether the backend gets differences.
            trace_url: address of a trace in the user's viewer, with {trace_id}.
        """
        self._ledger = ledger
        self._sink = sink
        self._own = own
        self._resource = resource
        self._examples = examples
        self._delta = delta
        self._trace_url = trace_url
        self._trouble = Trouble(_log)
        self._now = 0.0  # of the export under way
        self._exporting = asyncio.Lock()
        self._all_accepted = True  # in the export under way
        self._at_most = _SERIES_A_REQUEST
        self._examples_told = 0
        self._own_aside = b""
        self._said_full: set[str] = set()

    async def page(self, now: float) -> Sequence[ExportMetricsServiceRequest]:
        """The totals since the beginning: the stream's, then the bridge's own."""
        await self._ask_the_ledger()
        return [*await self._totals(now), self._own.message()]

    async def export(self, now: float) -> None:
        """Send what the backend is to have now."""
        async with self._exporting:  # the last export may come while one is under way: nothing is told twice
            self._all_accepted, self._now = True, now
            await self._ask_the_ledger()
            try:
                await (self._export_differences(now) if self._delta else self._export_totals(now))
            except _Waiting:
                return
            if self._all_accepted:
                self._trouble.ends("metrics are taken again", now=now)

    async def _export_totals(self, now: float) -> None:
        for request in await self._totals(now):
            await self._send(request.SerializeToString())
        await self._send(self._own.message().SerializeToString())

    async def _export_differences(self, now: float) -> None:
        """What is left of an earlier export goes first."""
        await self._send_aside()
        await self._put_aside(now)
        await self._send_aside()
        gauges = metrics_request({}, await self._gauges(now), now_ns=round(now * _NS), resource=self._resource)
        await self._send(gauges.SerializeToString())
        await self._send_own()

    async def _put_aside(self, now: float) -> None:
        """Differences go into the ledger before anyone hears of them."""
        told = await self._ledger.told()
        until_ns = max(round(now * _NS), told.until_ns + 1)  # wherever the clock was set
        totals = await self._ledger.totals()
        self._say_what_is_full(totals)
        moved = differences(totals, told)
        exports = [self._export_of(part, until_ns) for part in _parts(moved, self._at_most)]
        self._examples_told = self._examples.taken
        await self._ledger.put_exports_aside(exports, until_ns=until_ns)

    def _export_of(self, moved: Mapping[SeriesKey, Difference], until_ns: int) -> Export:
        counted = {
            key: Counted(one.added, one.since_ns, self._examples.of(key, after=self._examples_told))
            for key, one in moved.items()
        }
        request = metrics_request(counted, {}, now_ns=until_ns, resource=self._resource, delta=True)
        return Export(request.SerializeToString(), {key: one.whole for key, one in moved.items()})

    async def _send_aside(self) -> None:
        """Send and settle all that is aside; what was refused for good is not told."""
        for export in await self._ledger.exports_aside():
            answer = await self._send(export.payload)
            await self._ledger.settle_export(export.id, taken=isinstance(answer, Accepted | PartlyRejected))

    async def _send_own(self) -> None:
        """Nothing new is read as long as the last differences are neither taken nor refused for good."""
        if self._own_aside:
            await self._send(self._own_aside)
        self._own_aside = self._own.difference().SerializeToString()
        await self._send(self._own_aside)
        self._own_aside = b""

    async def _send(self, payload: bytes) -> Answer:
        """What the backend says to it.

        Raises:
            _Waiting: it takes nothing now.
        """
        answer = await self._sink.send(Signal.METRICS, payload)
        self._all_accepted &= isinstance(answer, Accepted)
        match answer:
            case Accepted():
                self._own.metric_exports("accepted")
            case PartlyRejected(count, reason):
                self._own.metric_exports("rejected")
                self._say(f"{count} points of metrics were rejected: {reason}")
            case Refused(reason) | TooLarge(reason):
                self._own.metric_exports("rejected")
                self._say(f"metrics were refused for good: {reason}")
                if isinstance(answer, TooLarge):
                    self._at_most = max(1, self._at_most // 2)
            case waiting:
                self._own.metric_exports("waiting")
                self._say(f"metrics were not taken: {waiting.reason}")
                raise _Waiting
        return answer

    def _say(self, text: str) -> None:
        self._trouble.begins(
            f"{text}. For a backend without metrics set OTEL_METRICS_EXPORTER=none; /metrics has them in any case",
            now=self._now,
        )

    async def _totals(self, now: float) -> Sequence[ExportMetricsServiceRequest]:
        start_ns = await self._ledger.start_ns()
        now_ns = max(round(now * _NS), start_ns)  # no total ends before it began, wherever the clock was set
        totals = await self._ledger.totals()
        self._say_what_is_full(totals)
        gauges = await self._gauges(now)
        counted = {key: Counted(total, start_ns, self._examples.of(key)) for key, total in totals.items()}
        return [
            metrics_request(part, {} if number else gauges, now_ns=now_ns, resource=self._resource)
            for number, part in enumerate(_parts(counted, self._at_most) or [{}])
        ]

    async def _gauges(self, now: float) -> GaugePoints:
        open_runs, failures = await self._ledger.open_runs(), await self._ledger.failures()
        return gauge_points(open_runs, failures, now_ns=round(now * _NS), trace_url=self._trace_url)

    async def _ask_the_ledger(self) -> None:
        self._own.dead_letters(await self._ledger.dead_letter_count())
        self._own.ledger_size(await self._ledger.size_bytes())

    def _say_what_is_full(self, totals: Mapping[SeriesKey, Total]) -> None:
        for name in sorted({name for name, attributes in totals if attributes == OVERFLOW} - self._said_full):
            self._said_full.add(name)
            _log.warning(
                "a metric has as many sets of attributes as it may have, new ones are counted together as"
                " otel.metric.overflow: raise BRIDGE_METRICS_MAX_SERIES, or set BRIDGE_METRICS_AGENTS=false",
                metric=name,
            )


def _parts(series: Mapping[SeriesKey, T], size: int) -> list[dict[SeriesKey, T]]:
    entries = iter(series.items())
    return list(iter(lambda: dict(islice(entries, size)), {}))
