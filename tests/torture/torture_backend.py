"""A backend that outlives every process, and knows what it was ever sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from bridge_world import RecordingSink, events_in, spans_in
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from torture.crash_seam import Seam

from bridge.export.answers import Accepted, Answer, PartlyRejected, Signal


class Backend(RecordingSink):
    """Says what it is told to; every request is two points of the process that makes it.

    Attributes:
        drops: of a request that it rejects in part, the spans that it does not take.
        forms: every form in which a span was ever sent, by its id: more than one is a broken promise.
        times: how often each span was taken, by its id, and each log record, by all of it: a record has no id.
        taken: the first form of each span that was taken, by its id.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seam: Seam | None = None
        self.drops: Callable[[Span], bool] = lambda _span: False
        self.forms: dict[bytes, set[bytes]] = {}
        self.times: dict[Signal, Counter[bytes]] = {Signal.TRACES: Counter(), Signal.LOGS: Counter()}
        self.taken: dict[bytes, Span] = {}

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        assert self.seam is not None
        self.seam.point(f"before the backend takes {signal}")
        answer = self.answered(signal, payload)
        self.seam.point(f"before its answer on {signal} is heard")
        return answer

    def answered(self, signal: Signal, payload: bytes) -> Answer:
        """Take what `answer` says, and remember it."""
        if signal is Signal.TRACES:
            return self._take(payload)
        answer = self.answer_logs(payload)
        if isinstance(answer, Accepted):
            self.times[signal].update(record.SerializeToString(deterministic=True) for record in events_in(payload))
        return answer

    def _take(self, payload: bytes) -> Answer:
        spans = spans_in(payload)
        for span in spans:
            self.forms.setdefault(span.span_id, set()).add(span.SerializeToString(deterministic=True))
        answer = self.answer(payload)
        if isinstance(answer, Accepted):
            self._keep(spans)
        elif isinstance(answer, PartlyRejected) and answer.rejected < len(spans):
            self._keep(span for span in spans if not self.drops(span))
        return answer

    def _keep(self, spans: Iterable[Span]) -> None:
        for span in spans:
            self.times[Signal.TRACES][span.span_id] += 1
            self.taken.setdefault(span.span_id, span)

    def resent(self) -> int:
        """How many spans and log records came more than once."""
        return sum(times - 1 for counter in self.times.values() for times in counter.values())
