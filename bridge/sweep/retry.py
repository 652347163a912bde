"""A dead letter tried again: sent once more, or read with the models of this version, and settled in the ledger.

Works beside a running service. What goes out is the same each time: a refused record's own bytes, and for a record
of Letta's times that follow from when it was kept. A process that dies between the backend's yes and the ledger
leaves the letter where it is, to be sent again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.sdk.resources import Resource
from pydantic import TypeAdapter

from bridge.errors import LettaMisbehaved
from bridge.export.answers import Signal, Sink, Unsupported
from bridge.export.deliver import SIGNALS, Delivery, deliver
from bridge.export.encode import encode_spans
from bridge.follow.reading import Outcome, SettledStep
from bridge.follow.state import FollowedRun
from bridge.ledger.ledger import DeadLetter, KeptLetter, Ledger, Plan
from bridge.map.ids import run_trace_id
from bridge.map.mapper import MapOptions, map_loose_step
from bridge.map.run import run_span_id
from bridge.map.step import Place
from bridge.map.totals import fold
from bridge.source import parse
from bridge.source.models import RUNS, STEPS, Step
from bridge.sweep.discovery import followed

_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one letter.

    Attributes:
        gone: the ledger no longer has anything of it.
        said: one line for a person.
        waiting: the backend takes nothing now: there is no use in trying others.
    """

    gone: bool
    said: str
    waiting: bool = False


class Retry:
    """Tries letters of one stream."""

    def __init__(
        self,
        ledger: Ledger,
        sink: Sink,
        *,
        signals: Collection[Signal],
        resource: Resource,
        options: MapOptions,
        now: float,
        per_agent: bool = False,
    ) -> None:
        """Take the parts.

        Args:
            ledger: of the stream.
            sink: where its telemetry goes.
            signals: those that go anywhere; a sink may take the others without a word, and drop them.
            resource: for spans that are made anew.
            options: the same.
            now: seconds since the epoch.
            per_agent: whether those spans go under their agent's service.
        """
        self._ledger = ledger
        self._sink = sink
        self._signals = signals
        self._resource = resource
        self._options = options
        self._now = now
        self._per_agent = per_agent

    async def retry(self, kept: KeptLetter) -> Result:
        """Try one letter.

        Raises:
            LedgerError: the storage failed; what was sent meanwhile will be sent again.
        """
        kind = kept.letter.kind
        if kind in SIGNALS:
            return await self._send(kept, SIGNALS[kind])
        if kind == "step":
            return await self._step(kept)
        if kind == "run":
            return await self._run(kept)
        if kind == "message":
            return Result(gone=False, said="its step was sent without it: it can only be dropped")
        if kind == "remainder":
            return Result(gone=False, said="some of its steps are delivered already, and would be counted twice")
        return Result(gone=False, said=f"nothing here knows how to send a letter of the kind {kind!r}")

    async def _send(self, kept: KeptLetter, signal: Signal) -> Result:
        if signal not in self._signals:
            return _goes_nowhere(signal)
        try:
            delivery = await deliver(self._sink, signal, kept.letter.payload)
        except DecodeError:
            return Result(gone=False, said="its payload is damaged: it can only be dropped")
        if delivery.waiting and delivery.remaining == kept.letter.payload:
            return _told(signal, delivery)
        rest = list(delivery.dead_letters)
        if delivery.waiting:
            rest.append(kept.letter.model_copy(update={"payload": delivery.remaining}))
        await self._ledger.settle_dead_letter(kept.id, rest=rest)
        return _told(signal, delivery)

    async def _step(self, kept: KeptLetter) -> Result:
        step, problem = _read(STEPS, kept.letter)
        if step is None:
            return Result(gone=False, said=problem)
        if step.status == "pending":
            return Result(gone=False, said="it was still pending when it was kept: what became of it is not known")
        if Signal.TRACES not in self._signals:
            return _goes_nowhere(Signal.TRACES)
        run = await self._ledger.run(step.run_id) if step.run_id else None
        outcome = Outcome.FAILED if step.status == "failed" or step.error_type else Outcome.SUCCESS
        place = _place(step, run)
        mapped = map_loose_step(
            SettledStep(step, outcome), None, (), round(kept.kept_at * _NS), self._options, place=place
        )
        payload = encode_spans(mapped.spans, self._resource, per_agent=self._per_agent)
        delivery = await deliver(self._sink, Signal.TRACES, payload)
        if not delivery.waiting:
            totals = tuple((*series, total) for series, total in fold(mapped.measurements).items())
            await self._ledger.settle_dead_letter(
                kept.id, plan=Plan(totals=totals, failures=mapped.failures), rest=delivery.dead_letters
            )
        return _told(Signal.TRACES, delivery)

    async def _run(self, kept: KeptLetter) -> Result:
        run, problem = _read(RUNS, kept.letter)
        if run is None:
            return Result(gone=False, said=problem)
        # Not as a plan: that would put back a run which the service has found meanwhile to where it began.
        new = await self._ledger.discover([followed(run, self._now)], now=self._now)
        await self._ledger.settle_dead_letter(kept.id)
        return Result(gone=True, said="the service follows it from now on" if new else "it is followed already")


def _read(adapter: TypeAdapter[list[Any]], letter: DeadLetter) -> tuple[Any, str]:
    """The record that this version makes of a letter, or None and why there is none."""
    try:
        page = parse.page(adapter, letter.kind, b"[%b]" % letter.payload, "a dead letter")
    except LettaMisbehaved:
        return None, "its payload is damaged: it can only be dropped"
    if page.items:
        return page.items[0], ""
    return (
        None,
        f"this version cannot read it either: {page.malformed[0].reason if page.malformed else 'it is empty'}",
    )


def _place(step: Step, run: FollowedRun | None) -> Place | None:
    """Below its run's span, whether the ledger still knows the run or its trace follows from its id."""
    if step.run_id is None:
        return None
    trace_id = bytes.fromhex((run and run.trace_id) or run_trace_id(step.run_id, step.trace_id))
    return Place(
        trace_id,
        parent_id=run_span_id(trace_id, step.run_id),
        run_id=step.run_id,
        agent_id=step.agent_id,
        agent_name=run.agent_name if run else None,
    )


def _told(signal: Signal, delivery: Delivery) -> Result:
    """What the backend made of it; of several reasons the first."""
    if delivery.waiting:
        unsupported = signal is Signal.LOGS and isinstance(delivery.waiting, Unsupported)
        return Result(gone=False, said=delivery.waiting.reason, waiting=not unsupported)
    if delivery.dead_letters:
        return Result(gone=False, said=_refused(delivery.accepted, delivery.dead_letters))
    return Result(gone=True, said="accepted")


def _refused(accepted: int, letters: Sequence[DeadLetter]) -> str:
    return f"refused again: {letters[0].reason}" + (f" ({accepted} accepted)" if accepted else "")


def _goes_nowhere(signal: Signal) -> Result:
    return Result(gone=False, said=f"{signal.value} go nowhere: OTEL_{signal.name}_EXPORTER is none")
