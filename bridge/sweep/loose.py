"""Steps that belong to no run, from the global step list, on servers where that works (not on 0.16.8).

The list has no times in its rows, so it is read by `start_date`, from the server's time of the last reading back by
the overlap; what was delivered lately is known by id. A loose step still pending holds the reading where it is.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from typing import Final

from bridge.errors import LettaMisbehaved, LettaNotFound
from bridge.follow.decide import Policy
from bridge.follow.reading import Outcome, SettledStep
from bridge.ledger.ledger import Ledger
from bridge.map.mapper import MapOptions, map_loose_step
from bridge.map.telemetry import Telemetry
from bridge.source.letta import FULL_PAGE, LettaSource
from bridge.source.models import Message, Step, StepMetrics
from bridge.source.pager import may_continue
from bridge.source.parse import Malformed, Page
from bridge.sweep.outbox import Outbox

_EVERY: Final = 60.0  # seconds between two readings: such steps are rare
_CLOCK_SET: Final = 7200.0  # seconds by which either clock may be set before a delivered step is sent twice
_NS: Final = 1_000_000_000


class LooseSteps:
    """The second feed. Switched off until a probe has found the route working."""

    def __init__(
        self, source: LettaSource, ledger: Ledger, *, overlap: float, policy: Policy, options: MapOptions
    ) -> None:
        """Take the parts; `working` is for the probe to set."""
        self._source = source
        self._ledger = ledger
        self._overlap = overlap
        self._policy = policy
        self._options = options
        self._read_at = -math.inf
        self._waiting: dict[str, float] = {}
        self.working = False

    async def read(self, outbox: Outbox, now: float) -> int:
        """Map the settled steps without a run into `outbox`; returns how many.

        Raises:
            LettaError: the list could not be read; nothing was put into the outbox.
        """
        if not self.working or 0 <= now - self._read_at < _EVERY:
            return 0
        server_now = self._source.server_now() or now
        origin = (await self._ledger.origin() or 0) / _NS
        since = max(origin, (await self._ledger.steps_watermark() or origin) - self._overlap)
        delivered = await self._ledger.loose_steps()
        found: list[Step] = []
        async for page in self._pages(since):
            found += [step for step in page.items if step.run_id is None and step.id not in delivered]
            self._keep(outbox, [lost for lost in page.malformed if lost.id not in delivered], now)
        self._waiting = {step.id: min(self._waiting.get(step.id, now), now) for step in found}
        settled = [(step, outcome) for step in found if (outcome := self._verdict(step, now))]
        for step, outcome in settled:
            await self._map(SettledStep(step, outcome), outbox, now)
            del self._waiting[step.id]
        held = [server_now - (now - first_seen) for first_seen in self._waiting.values()]
        watermark = min([server_now, *held])
        listed_for = self._overlap + (server_now - watermark) + 2 * _EVERY + _CLOCK_SET
        outbox.advance_steps(watermark, forget_before=now - listed_for)
        self._read_at = now
        return len(settled)

    def _keep(self, outbox: Outbox, malformed: Sequence[Malformed], now: float) -> None:
        outbox.add_malformed(malformed)
        for lost in malformed:
            outbox.add_loose_step(lost.id, Telemetry(), at=now)

    async def _pages(self, since: float) -> AsyncIterator[Page[Step]]:
        after: str | None = None
        seen: set[str] = set()
        while True:
            page = await self._source.all_steps(since, after)
            if seen.intersection(page.order):
                raise LettaMisbehaved(f"GET /v1/steps/ does not move on after {after}: a page repeats")
            seen.update(page.order)
            yield page
            if not may_continue(len(page.order), FULL_PAGE):
                return
            after = page.order[-1]

    def _verdict(self, step: Step, now: float) -> Outcome | None:
        waited = now - self._waiting[step.id]
        if step.status == "pending":
            return Outcome.ABANDONED if waited >= self._policy.stale_after else None
        if waited < self._policy.settle:
            return None
        return Outcome.FAILED if step.status == "failed" or step.error_type else Outcome.SUCCESS

    async def _map(self, settled: SettledStep, outbox: Outbox, now: float) -> None:
        step_id = settled.step.id
        messages: Sequence[Message] = ()
        metrics: StepMetrics | None = None
        with contextlib.suppress(LettaMisbehaved, LettaNotFound):  # the step goes out without them
            messages = await self._source.step_messages(step_id)
            metrics = await self._source.step_metrics(step_id)
        outbox.add_loose_step(
            step_id, map_loose_step(settled, metrics, messages, round(now * _NS), self._options), at=now
        )
