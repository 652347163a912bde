"""One visit: all that is read of one run, in an order that cannot tear.

The run's row is read before its steps: a run seen over has all its steps in the list that follows. Messages and
lengths are asked for only where a step is final and not yet sent. Where Letta has lost the step that the run was
read up to, the reading goes back to one that it still has (`follow.trail`); CursorUnknown is raised where no such
place is safe.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from bridge.errors import CursorUnknown, LettaNotFound
from bridge.follow.ended import is_over, is_pending
from bridge.follow.reading import ForeignStep, ReadFrom, Reading
from bridge.follow.state import FollowedRun, Phase
from bridge.follow.trail import read_from, rewind
from bridge.ledger.ledger import Ledger
from bridge.log import get_logger
from bridge.map.ids import run_trace_id
from bridge.source.letta import LettaSource
from bridge.source.models import Message, Run, RunMetrics, Step, StepMetrics
from bridge.source.parse import Malformed, Page

_log = get_logger(__name__)


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
        page, more, start = await self._steps(followed)
        delivered = followed.delivered
        fresh = [step for step in page.items if step.id not in delivered and not is_pending(step)]
        measured = self._wanted.lengths and not hurried
        messages = await self._messages(run, followed, page.order, fresh)
        reading = Reading(
            run=run,
            steps=page.items,
            order=page.order,
            at=now,
            more=more,
            measured=measured,
            messages=tuple(messages),
            step_metrics=await self._lengths(fresh) if measured else {},
            run_metrics=await self._run_metrics(run, followed, now=now, first=bool(fresh) and measured),
            agent_name=await self._agent_name(run),
            foreign_steps=await self._foreign_steps(run, followed, page.order, messages),
            server_now=self._source.server_now(),
            start=start,
        )
        return reading, [lost for lost in page.malformed if lost.id not in delivered]

    async def _steps(self, followed: FollowedRun) -> tuple[Page[Step], bool, ReadFrom]:
        start = read_from(followed)
        try:
            return *await self._page(followed, start), start
        except CursorUnknown:
            known = [step_id async for page in all_steps(self._source, followed.id) for step_id in page.order]
            if not known:  # nothing is there, so nothing can be new
                return Page((), ()), False, ReadFrom(followed.cursor)
            back = rewind(followed, known)
            if back is None:
                raise
            _log.warning("Letta has lost the last step read: going back", run=followed.id, to=back.step_id)
            return *await self._page(followed, back), back

    async def _page(self, followed: FollowedRun, start: ReadFrom) -> tuple[Page[Step], bool]:
        """One page, and further ones while all that they show is delivered.

        Only an empty page is the end: a short one may have been cut.
        """
        delivered = followed.delivered
        page, more = await self._source.steps(followed.id, start.step_id)
        further = page
        while further.last and delivered.issuperset(page.order):
            further, more = await self._source.steps(followed.id, further.last)
            page = joined(page, further)
        return page, more

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

    async def _run_metrics(self, run: Run, followed: FollowedRun, *, now: float, first: bool) -> RunMetrics | None:
        """For the start of the first step, and for the length that GET /v1/runs/{id} leaves out (0.16.8)."""
        over = is_over(run) and followed.over_since is not None
        closing = over and now - (followed.over_since or 0) >= self._wanted.settle
        if (first and not followed.fence_ns) or (closing and run.total_duration_ns is None):
            return await self._source.run_metrics(run.id)
        return None

    async def _agent_name(self, run: Run) -> str | None:
        if not self._wanted.agent_names or run.agent_id is None:
            return None
        return await self._source.agent_name(run.agent_id)

    async def _foreign_steps(
        self, run: Run, followed: FollowedRun, order: Sequence[str], messages: Sequence[Message]
    ) -> Mapping[str, ForeignStep]:
        """Steps of earlier runs whose tools ran in this one: they had waited for approval."""
        own = {*order, *followed.delivered}
        strangers = {m.step_id for m in messages if m.tool_returns and m.step_id and m.step_id not in own}
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


async def all_steps(source: LettaSource, run_id: str) -> AsyncIterator[Page[Step]]:
    """Every page of a run's steps, from its first one on.

    Raises:
        LettaError: as the source does.
    """
    after: str | None = None
    more = True
    while more:
        page, more = await source.steps(run_id, after)
        yield page
        after = page.last or after


def joined(page: Page[Step], further: Page[Step]) -> Page[Step]:
    """Two pages as one."""
    return Page(page.items + further.items, page.order + further.order, page.malformed + further.malformed)
