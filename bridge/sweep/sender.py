"""Send a batch and commit what it makes true.

A batch is put aside in the ledger byte for byte, sent, spans first and then the log events that are about them, and
committed once the backend has answered for every part of it. Where the backend cannot take it now, the batch stays
aside and BackendWaiting ends the sweep; the next sweep, or the next process, goes on with the same bytes. Log events
that nothing takes at their endpoint are dropped: not every backend has logs, and spans must not wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence

from bridge.clock import Clock, SystemClock
from bridge.export.answers import Retryable, Signal, Sink, Unsupported, Waiting
from bridge.export.deliver import Delivery, deliver
from bridge.export.examples import Examples
from bridge.export.records import records
from bridge.ledger.ledger import Batch, DeadLetter, Ledger
from bridge.log import get_logger
from bridge.observe import SelfMetrics
from bridge.sweep.outbox import Encode, EncodeLogs, Outbox
from bridge.trouble import Recurring

_log = get_logger(__name__)


class BackendWaiting(Exception):
    """The backend takes nothing now.

    Attributes:
        retry_after: seconds that it asked to wait, or None.
    """

    def __init__(self, reason: str, retry_after: float | None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Sender:
    """The way out, one batch at a time."""

    def __init__(
        self,
        sink: Sink,
        ledger: Ledger,
        encode: Encode,
        encode_logs: EncodeLogs,
        metrics: SelfMetrics,
        *,
        examples: Examples | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Take the parts; what a crash left aside is found by the first `finish`.

        Examples, where they are wanted, are handed over once their batch is counted. The clock, the machine's by
        default, is for how often something is said.
        """
        self._sink = sink
        self._ledger = ledger
        self._encode = encode
        self._encode_logs = encode_logs
        self._metrics = metrics
        self._examples = examples
        self._batch: Batch | None = None
        self._unsent: list[tuple[Signal, bytes]] = []
        self._dead_letters: list[DeadLetter] = []
        self._looked_back = False
        self._accepted = 0
        self._said_no_logs = False
        self._clock = clock or SystemClock()
        self._said = Recurring(_log)

    def take_accepted(self) -> int:
        """Spans accepted since the last call."""
        accepted, self._accepted = self._accepted, 0
        return accepted

    async def send(self, outbox: Outbox) -> None:
        """Send and commit everything collected.

        Raises:
            BackendWaiting: the batch stays aside until `finish` succeeds.
        """
        assert self._looked_back, "finish first: a crash may have left a batch"
        batch = outbox.batch(self._encode, self._encode_logs)
        if batch is None:
            return
        if batch.payloads or batch.logs:
            await self._ledger.prepare(batch)
        self._take(batch)
        await self.finish()

    async def finish(self) -> None:
        """Deliver and commit the batch in hand, if there is one.

        Raises:
            BackendWaiting: it is still not taken.
        """
        if not self._looked_back:
            self._take(await self._ledger.in_flight())
            self._looked_back = True
        if self._batch is None:
            return
        while self._unsent:
            await self._deliver_next()
        await self._ledger.commit(self._batch, self._dead_letters)
        if self._examples:
            self._examples.add(self._batch.examples)
        self._say_unreadable(self._batch.plan.dead_letters)
        self._batch = None

    def _take(self, batch: Batch | None) -> None:
        self._batch = batch
        self._unsent = []
        if batch:
            self._unsent += [(Signal.TRACES, payload) for payload in batch.payloads]
            self._unsent += [(Signal.LOGS, payload) for payload in batch.logs]
        self._dead_letters = []

    async def _deliver_next(self) -> None:
        """The first payload; what a busy backend leaves of it is what the next attempt begins with."""
        signal, payload = self._unsent[0]
        delivery = await deliver(self._sink, signal, payload)
        self._count(signal, delivery)
        self._dead_letters += delivery.dead_letters
        if delivery.waiting is None:
            self._unsent.pop(0)
        elif signal is Signal.LOGS and isinstance(delivery.waiting, Unsupported):
            self._drop_events(delivery)
            self._unsent.pop(0)
        else:
            self._unsent[0] = (signal, delivery.remaining)
            raise _waiting(signal, delivery.waiting)

    def _drop_events(self, delivery: Delivery) -> None:
        self._metrics.log_events("unsupported", len(records(Signal.LOGS, delivery.remaining)))
        if not self._said_no_logs:
            assert delivery.waiting
            _log.warning(
                "the backend takes no log events, they are dropped: set OTEL_EXPORTER_OTLP_LOGS_ENDPOINT to one that"
                " does, or OTEL_LOGS_EXPORTER=none",
                reason=delivery.waiting.reason,
            )
        self._said_no_logs = True

    def _count(self, signal: Signal, delivery: Delivery) -> None:
        dead = sum(letter.kind in ("span", "event") for letter in delivery.dead_letters)
        if signal is Signal.TRACES:
            self._accepted += delivery.accepted
        count = self._metrics.spans if signal is Signal.TRACES else self._metrics.log_events
        count("accepted", delivery.accepted)
        count("dead", dead)
        count("rejected", delivery.rejected - dead)
        for letter in delivery.dead_letters:
            self._said.met(
                "the backend refused this for good, it is kept as dead letter: `bridge dead-letters` shows it and"
                " sends it again",
                now=self._clock.now(),
                level="error",
                reason=letter.reason,
                kind=letter.kind,
                source=letter.source,
            )
        for warning in delivery.warnings:
            self._said.met(
                "the backend took what was sent, and warns: its own documentation says what about",
                now=self._clock.now(),
                reason=warning,
                signal=signal.value,
            )

    def _say_unreadable(self, letters: Sequence[DeadLetter]) -> None:
        """One line for each way in which records of Letta's do not fit, however many there are of it."""
        alike: dict[tuple[str, str], list[DeadLetter]] = {}
        for letter in letters:
            alike.setdefault((letter.kind, letter.reason), []).append(letter)
        for (kind, reason), group in alike.items():
            self._said.met(
                "Letta sent what cannot be read, it is kept as dead letter: look at it with `bridge dead-letters`",
                now=self._clock.now(),
                level="error",
                reason=reason,
                times=len(group),
                kind=kind,
                source=group[0].source,
            )


def _waiting(signal: Signal, waiting: Waiting) -> BackendWaiting:
    if isinstance(waiting, Retryable):
        return BackendWaiting(waiting.reason, waiting.retry_after)
    hint = ". Without log events all else goes on: OTEL_LOGS_EXPORTER=none" if signal is Signal.LOGS else ""
    return BackendWaiting(f"{waiting.reason}{hint}", None)
