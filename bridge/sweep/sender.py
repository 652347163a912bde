"""Send a batch and commit what it makes true.

A batch is put aside in the ledger byte for byte, sent, and committed once the backend has answered for every
part of it. Where the backend cannot take it now, the batch stays aside and BackendWaiting ends the sweep; the next
sweep, or the next process, goes on with the same bytes.
"""

from __future__ import annotations

from bridge.export.answers import Retryable, Sink
from bridge.export.deliver import Delivery, deliver
from bridge.ledger.ledger import Batch, DeadLetter, Ledger
from bridge.log import get_logger
from bridge.observe import SelfMetrics
from bridge.sweep.outbox import Encode, Outbox

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

    def __init__(self, sink: Sink, ledger: Ledger, encode: Encode, metrics: SelfMetrics) -> None:
        """Take the parts; what a crash left aside is found by the first `finish`."""
        self._sink = sink
        self._ledger = ledger
        self._encode = encode
        self._metrics = metrics
        self._batch: Batch | None = None
        self._unsent: list[bytes] = []
        self._dead_letters: list[DeadLetter] = []
        self._looked_back = False
        self._accepted = 0

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
        batch = outbox.batch(self._encode)
        if batch is None:
            return
        if batch.payloads:
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
        self._batch = None

    def _take(self, batch: Batch | None) -> None:
        self._batch = batch
        self._unsent = list(batch.payloads) if batch else []
        self._dead_letters = []

    async def _deliver_next(self) -> None:
        """The first payload; what a busy backend leaves of it is what the next attempt begins with."""
        delivery = await deliver(self._sink, self._unsent[0])
        self._count(delivery)
        self._dead_letters += delivery.dead_letters
        if delivery.waiting is None:
            self._unsent.pop(0)
            return
        self._unsent[0] = delivery.remaining
        wait = delivery.waiting.retry_after if isinstance(delivery.waiting, Retryable) else None
        raise BackendWaiting(delivery.waiting.reason, wait)

    def _count(self, delivery: Delivery) -> None:
        dead = sum(letter.kind == "span" for letter in delivery.dead_letters)
        self._accepted += delivery.accepted
        self._metrics.spans("accepted", delivery.accepted)
        self._metrics.spans("dead", dead)
        self._metrics.spans("rejected", delivery.rejected - dead)
        for letter in delivery.dead_letters:
            _log.error("spans kept as dead letter", spans=letter.source, reason=letter.reason)
        for warning in delivery.warnings:
            _log.warning("the backend took the spans, and says", warning=warning)
