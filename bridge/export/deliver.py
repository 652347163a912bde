"""One traces payload, from the first attempt to a result the sweep can act on.

A payload refused for its size or for good is halved until the culprit stands alone; that one span becomes a dead
letter and every other span goes on. Spans leave in their order, so what is not settled when the backend asks to wait
is one tail of the payload: the result holds it, and `deliver` goes on from there. Every span stays byte for byte what
it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from bridge.export.answers import Accepted, Answer, Denied, PartlyRejected, Refused, Retryable, Signal, Sink, TooLarge
from bridge.ledger.ledger import DeadLetter


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a payload's spans: `accepted`, `rejected` and those in `remaining` make up all of them.

    Attributes:
        accepted: spans that the backend took.
        rejected: spans that it will never take.
        dead_letters: what those were. A backend that rejected some of many does not say which: then all are kept.
        warnings: what the backend said beside its yes.
        waiting: why spans are left and how long to wait; None where nothing is left.
        remaining: the payload for the next call; empty where nothing is left.
    """

    accepted: int = 0
    rejected: int = 0
    dead_letters: tuple[DeadLetter, ...] = ()
    warnings: tuple[str, ...] = ()
    waiting: Retryable | Denied | None = None
    remaining: bytes = b""


async def deliver(sink: Sink, payload: bytes) -> Delivery:
    """Send a serialised ExportTraceServiceRequest until every span is settled or the backend asks to wait."""
    total = len(_spans(payload))
    settled = _Settled()
    todo = [(0, total)]
    while todo:
        start, stop = todo.pop()
        part = payload if (start, stop) == (0, total) else _part(payload, start, stop)
        match await sink.send(Signal.TRACES, part):
            case Accepted(warning):
                settled.accept(stop - start, warning)
            case Retryable() | Denied() as waiting:
                return settled.delivery(waiting, payload if start == 0 else _part(payload, start, total))
            case answer if stop - start > 1 and _took_none(answer, stop - start):
                middle = (start + stop) // 2
                todo += [(middle, stop), (start, middle)]
            case PartlyRejected(rejected, reason):
                settled.reject_some(part, stop - start, rejected, reason)
            case TooLarge(reason) | Refused(reason):
                settled.reject_each(part, reason)
    return settled.delivery()


def _took_none(answer: Answer, spans: int) -> bool:
    """Whether halves of the request double nothing; one receiver calls all spans rejected when it means too large."""
    return not isinstance(answer, PartlyRejected) or answer.rejected >= spans


@dataclass(slots=True)
class _Settled:
    accepted: int = 0
    rejected: int = 0
    dead_letters: list[DeadLetter] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def accept(self, spans: int, warning: str) -> None:
        self.accepted += spans
        if warning:
            self.warnings.append(warning)

    def reject_some(self, part: bytes, spans: int, rejected: int, reason: str) -> None:
        if rejected >= spans:
            self.reject_each(part, reason)
            return
        self.accepted += spans - rejected
        self.rejected += rejected
        ids = [span.span_id.hex() for span in _spans(part)]
        why = f"{rejected} of {spans} rejected: {reason}"
        self.dead_letters.append(DeadLetter(kind="spans", source=f"{ids[0]}..{ids[-1]}", reason=why, payload=part))

    def reject_each(self, part: bytes, reason: str) -> None:
        spans = _spans(part)
        self.rejected += len(spans)
        self.dead_letters += [
            DeadLetter(kind="span", source=span.span_id.hex(), reason=reason, payload=_part(part, at, at + 1))
            for at, span in enumerate(spans)
        ]

    def delivery(self, waiting: Retryable | Denied | None = None, remaining: bytes = b"") -> Delivery:
        return Delivery(
            accepted=self.accepted,
            rejected=self.rejected,
            dead_letters=tuple(self.dead_letters),
            warnings=tuple(self.warnings),
            waiting=waiting,
            remaining=remaining,
        )


def _parsed(payload: bytes) -> ExportTraceServiceRequest:
    return ExportTraceServiceRequest.FromString(payload)


def _scopes(request: ExportTraceServiceRequest) -> Iterator[ScopeSpans]:
    return (scope for group in request.resource_spans for scope in group.scope_spans)


def _spans(payload: bytes) -> list[Span]:
    return [span for scope in _scopes(_parsed(payload)) for span in scope.spans]


def _part(payload: bytes, start: int, stop: int) -> bytes:
    """The same request with only the spans from `start` up to `stop`, each as it was."""
    request = _parsed(payload)
    first = 0
    for scope in _scopes(request):
        count = len(scope.spans)
        del scope.spans[max(0, stop - first) :]
        del scope.spans[: max(0, start - first)]
        first += count
    return request.SerializeToString()
