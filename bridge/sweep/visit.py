"""One visit: all that is read of one run, in an order that cannot tear.

The run's row is read before its steps: a run seen over has all its steps in the list that follows. Messages and
lengths are asked for only where a step is final and not yet sent. A run that ended long enough ago to be closed is
read to a proven end, so that one visit is enough for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.errors import LettaNotFound
from bridge.follow.decide import over_since
from bridge.follow.ended import is_pending
from bridge.follow.reading import ForeignStep, Reading
from bridge.follow.state import FollowedRun, Phase
from bridge.ledger.ledger import Ledger
from bridge.map.ids import run_trace_id
from bridge.source.letta import LettaSource
from bridge.source.models import Message, Run, RunMetrics, Step, StepMetrics
from bridge.source.parse import Malformed
from bridge.sweep.steps import StepList, proven, read_steps


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a visit asks for beyond the steps.

    Attributes:
        lengths: the measured length of each step, one request a step.
        agent_names: the agent's name, one request an agent.
        settle: seconds; when a run that is over will be closed.
    """

    lengths: bool
    agent_names: bool
    settle: float


class Visitor:
    """Reads runs."""

    def __init__(self, source: LettaSource, ledger: Ledger, wanted: Wanted) -> None:
        """Wrap a source; the ledger is only asked where earlier runs stand."""
        self._source = source
        self._ledger = ledger
        self._wanted = wanted

    async def visit(
        self, followed: FollowedRun, row: Run | None, *, now: float, hurried: bool
    ) -> tuple[Reading, Sequence[Malformed]]:
        """Read one run.

        Args:
            followed: the run as it is remembered.
            row: the run's row if this sweep has read it already.
            now: the bridge's clock.
            hurried: there is a backlog: do without lengths.

        Raises:
            LettaError: as the source does.
        """
        run = row or await self._source.run(followed.id)
        read = await read_steps(self._source, followed)
        measured = self._wanted.lengths and not hurried
        closes = self._closes(run, followed, read, now)
        start_unknown = measured and not followed.fence_ns and bool(_fresh(read, followed))
        run_metrics: RunMetrics | None = None
        if start_unknown or (closes and run.total_duration_ns is None):  # GET /v1/runs/{id} leaves it out (0.16.8)
            run_metrics = await self._source.run_metrics(run.id)
        if closes:
            read = await proven(self._source, run.id, read, run_metrics)
        page, fresh = read.page, _fresh(read, followed)
        messages = await self._messages(run, followed, page.order, fresh)
        if read.more:
            messages = _until_last_of(page.order, messages)
        reading = Reading(
            run=run,
            steps=page.items,
            order=page.order,
            at=now,
            more=read.more,
            ended=read.ended,
            measured=measured,
            messages=tuple(messages),
            step_metrics=await self._lengths(fresh) if measured else {},
            run_metrics=run_metrics,
            agent_name=await self._agent_name(run),
            foreign_steps=await self._foreign_steps(run, followed, page.order, messages),
            server_now=self._source.server_now(),
            start=read.start,
        )
        return reading, [lost for lost in page.malformed if lost.id not in followed.delivered]

    def _closes(self, run: Run, followed: FollowedRun, read: StepList, now: float) -> bool:
        """Whether the run is likely to be closed by what this visit reads."""
        since = over_since(run, followed, at=now, server_now=self._source.server_now())
        if since is None or now - since < self._wanted.settle:
            return False
        delivered = followed.delivered
        return not any(is_pending(step) and step.id not in delivered for step in read.page.items)

    async def _messages(
        self, run: Run, followed: FollowedRun, order: Sequence[str], fresh: Sequence[Step]
    ) -> Sequence[Message]:
        if not fresh:
            return ()
        if (run.request_config or {}).get("include_return_message_types"):
            # 0.16.8 filters the run's messages by what its request asked to see; a step's are complete.
            return [message for step in fresh for message in await self._source.step_messages(step.id)]
        speaking = {step.id for step in fresh if step.status != "failed"}  # a failed step has no messages
        # A step that became visible late may have its messages in front of those that are done with.
        late = followed.delivered.intersection(order[order.index(fresh[0].id) :])
        return await self._source.messages_of(run.id, speaking, None if late else followed.message_cursor)

    async def _lengths(self, fresh: Sequence[Step]) -> Mapping[str, StepMetrics]:
        found = [await self._source.step_metrics(step.id) for step in fresh]
        return {metrics.id: metrics for metrics in found if metrics}

    async def _agent_name(self, run: Run) -> str | None:
        if not self._wanted.agent_names or run.agent_id is None:
            return None
        return await self._source.agent_name(run.agent_id)

    async def _foreign_steps(
        self, run: Run, followed: FollowedRun, order: Sequence[str], messages: Sequence[Message]
    ) -> Mapping[str, ForeignStep]:
        """Steps of earlier runs whose tools ran in this one: they had waited for approval."""
        returned = {message.step_id for message in messages if message.tool_returns and message.step_id}
        strangers = returned.difference(order, followed.delivered)
        found = [await self._foreign_step(run, step_id) for step_id in sorted(strangers)]
        return {foreign.step_id: foreign for foreign in found if foreign}

    async def _foreign_step(self, run: Run, step_id: str) -> ForeignStep | None:
        try:
            step = await self._source.step(step_id)
        except LettaNotFound:  # deleted with its agent since
            return None
        if step.run_id == run.id:
            return None
        earlier = await self._ledger.run(step.run_id) if step.run_id else None
        if earlier and earlier.trace_id:
            return ForeignStep(step_id, step.run_id, earlier.trace_id, open=earlier.phase is Phase.OPEN)
        return ForeignStep(step_id, step.run_id, run_trace_id(step.run_id or step_id, step.trace_id), open=False)


def _until_last_of(steps: Sequence[str], messages: Sequence[Message]) -> Sequence[Message]:
    """Without those at the end that belong to steps of the next page."""
    known = set(steps)
    own = (number for number, message in enumerate(messages, 1) if message.step_id in known)
    return messages[: max(own, default=0)]


def _fresh(read: StepList, followed: FollowedRun) -> Sequence[Step]:
    """The steps that are final and not sent."""
    delivered = followed.delivered
    return [step for step in read.page.items if step.id not in delivered and not is_pending(step)]
