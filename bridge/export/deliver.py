"""One request of spans or log events, from the first attempt to a result the sweep can act on.

A request refused for its size or for good is halved until the culprit stands alone; that one record becomes a dead
letter and every other one goes on. A lone record is condemned only by an endpoint that takes something else (another
record of this delivery, or else an empty request, which OTLP allows) and that refuses the same bytes a second time:
an endpoint that refuses everything is to be waited for, and a hiccup passes. Records leave in their order, so what is
not settled when the backend asks to wait is one tail: the result holds it, and `deliver` goes on from there. Every
record stays byte for byte what it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.export.answers import (
    Accepted,
    Answer,
    Denied,
    PartlyRejected,
    Refused,
    Retryable,
    Signal,
    Sink,
    TooLarge,
    Unsupported,
    Waiting,
)
from bridge.export.records import Record, count, empty, part, records
from bridge.ledger.ledger import DeadLetter

_ONE: Final[Mapping[Signal, str]] = {Signal.TRACES: "span", Signal.LOGS: "event"}
SIGNALS: Final[Mapping[str, Signal]] = {
    kind: signal for signal, one in _ONE.items() for kind in (one, f"{one}s")
}  # of a dead letter's kind, where its payload is a request


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of a request's records: `accepted`, `rejected` and those in `remaining` make up all of them.

    Attributes:
        accepted: records that the backend took.
        rejected: records that it will never take.
        dead_letters: what those were. A backend that rejected some of many does not say which: then all are kept.
        warnings: what the backend said beside its yes.
        waiting: why records are left and how long to wait; None where nothing is left.
        remaining: the request for the next call; empty where nothing is left.
    """

    accepted: int = 0
    rejected: int = 0
    dead_letters: tuple[DeadLetter, ...] = ()
    warnings: tuple[str, ...] = ()
    waiting: Waiting | None = None
    remaining: bytes = b""


async def deliver(sink: Sink, signal: Signal, payload: bytes) -> Delivery:
    """Send a request until every record in it is settled or the backend asks to wait.

    Args:
        sink: where to.
        signal: TRACES or LOGS.
        payload: a serialised ExportTraceServiceRequest or ExportLogsServiceRequest.
    """
    total = count(signal, payload)
    settled = _Settled(signal)
    court = _Court(sink, signal, payload)
    todo = [(0, total)]
    while todo:
        start, stop = todo.pop()
        piece = payload if (start, stop) == (0, total) else part(signal, payload, start, stop)
        answer = await sink.send(signal, piece)
        if stop - start == 1 and isinstance(answer, TooLarge | Refused):
            answer = await court.judge(piece, answer, takes_others=settled.accepted > 0)
        match answer:
            case Accepted(warning):
                settled.accept(stop - start, warning)
            case Retryable() | Denied() | Unsupported() as waiting:
                return settled.delivery(waiting, payload if start == 0 else part(signal, payload, start, total))
            case answer if stop - start > 1 and _took_none(answer, stop - start):
                middle = (start + stop) // 2
                todo += [(middle, stop), (start, middle)]
            case PartlyRejected(rejected, reason):
                settled.reject_some(piece, stop - start, rejected, reason)
            case TooLarge(reason) | Refused(reason):
                settled.reject_each(piece, reason)
    return settled.delivery()


def _took_none(answer: Answer, count: int) -> bool:
    """Whether halves of the request double nothing; one receiver calls all spans rejected when it means too large."""
    return not isinstance(answer, PartlyRejected) or answer.rejected >= count


class _Court:
    """Finds out whether it is the record or the endpoint."""

    def __init__(self, sink: Sink, signal: Signal, payload: bytes) -> None:
        self._sink = sink
        self._signal = signal
        self._payload = payload
        self._takes_nothing_well = False

    async def judge(self, piece: bytes, refusal: TooLarge | Refused, *, takes_others: bool) -> Answer:
        """The final answer to a record that stood alone and was refused once."""
        if not (takes_others or self._takes_nothing_well):
            answer = await self._sink.send(self._signal, empty(self._signal, self._payload))
            if isinstance(answer, TooLarge | Refused):
                return Denied(f"{refusal.reason}; the endpoint refuses everything, also an empty request")
            if isinstance(answer, Retryable | Denied | Unsupported):
                return answer
            self._takes_nothing_well = True
        return await self._sink.send(self._signal, piece)


@dataclass(slots=True)
class _Settled:
    signal: Signal
    accepted: int = 0
    rejected: int = 0
    dead_letters: list[DeadLetter] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def accept(self, count: int, warning: str) -> None:
        self.accepted += count
        if warning:
            self.warnings.append(warning)

    def reject_some(self, piece: bytes, count: int, rejected: int, reason: str) -> None:
        if rejected >= count:
            self.reject_each(piece, reason)
            return
        self.accepted += count - rejected
        self.rejected += rejected
        names = [_name(record) for record in records(self.signal, piece)]
        why = f"{rejected} of {count} rejected: {reason}"
        kind, source = f"{_ONE[self.signal]}s", f"{names[0]}..{names[-1]}"
        self.dead_letters.append(DeadLetter(kind=kind, source=source, reason=why, payload=piece))

    def reject_each(self, piece: bytes, reason: str) -> None:
        found = records(self.signal, piece)
        self.rejected += len(found)
        self.dead_letters += [
            DeadLetter(
                kind=_ONE[self.signal],
                source=_name(record),
                reason=reason,
                payload=piece if len(found) == 1 else part(self.signal, piece, at, at + 1),
            )
            for at, record in enumerate(found)
        ]

    def delivery(self, waiting: Waiting | None = None, remaining: bytes = b"") -> Delivery:
        return Delivery(
            accepted=self.accepted,
            rejected=self.rejected,
            dead_letters=tuple(self.dead_letters),
            warnings=tuple(self.warnings),
            waiting=waiting,
            remaining=remaining,
        )


def _name(record: Record) -> str:
    """Of a log event, the span that it is about."""
    name = record.span_id.hex()
    return name if isinstance(record, Span) or name else record.event_name
