"""The step list of one run, as a visit reads it: from the right place on, and to an end that is proven.

That a list is at its end its last step tells, which alone has a stop reason; else an empty page proves it, or the
run's own count: a short page may have been cut. Where Letta has lost the step that the run was read up to, the
reading goes back to one that it still has (`follow.trail`); CursorUnknown is raised where no such place is safe.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from bridge.errors import CursorUnknown
from bridge.follow.reading import ReadFrom
from bridge.follow.state import FollowedRun
from bridge.follow.trail import read_from, rewind
from bridge.log import get_logger
from bridge.source.letta import FULL_PAGE, LettaSource
from bridge.source.models import RunMetrics, Step
from bridge.source.pager import may_continue
from bridge.source.parse import Page

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StepList:
    """What was read of a run's steps.

    Attributes:
        page: the steps after `start`, oldest first.
        start: where it begins.
        more: whether the server is likely to have further ones.
        ended: whether it is proven that there is none.
    """

    page: Page[Step]
    start: ReadFrom
    more: bool
    ended: bool


async def read_steps(source: LettaSource, followed: FollowedRun) -> StepList:
    """One page from where the run is to be read on, and further ones while all that they show is delivered.

    Raises:
        LettaError: as the source does.
    """
    start = read_from(followed)
    try:
        return await _read(source, followed, start)
    except CursorUnknown:
        known = [step_id async for page in all_steps(source, followed.id) for step_id in page.order]
        if not known:  # nothing is there, so nothing can be new
            return StepList(Page((), ()), ReadFrom(followed.cursor), more=False, ended=True)
        back = rewind(followed, known)
        if back is None:
            raise
        _log.warning(
            "Letta no longer has the last step read, was its database put back? What is delivered is not sent again",
            run=followed.id,
            to=back.step_id,
        )
        return await _read(source, followed, back)


async def proven(source: LettaSource, run_id: str, read: StepList, metrics: RunMetrics | None) -> StepList:
    """The same list with the proof of its end, where it seems to be at its end; it grows by what the proof brings.

    Raises:
        LettaError: as the source does.
    """
    if read.ended or read.more:
        return read
    if has_last_step(read.page) or is_whole(read, metrics):
        return StepList(read.page, read.start, more=False, ended=True)
    if read.page.last is None:
        return read
    try:
        further, more = await source.steps(run_id, read.page.last)
    except CursorUnknown:  # that step was deleted just now: the next visit goes back
        return read
    return StepList(joined(read.page, further), read.start, more=more, ended=not further.order)


def has_last_step(page: Page[Step]) -> bool:
    """Whether the page ends with the run's last step: the steps before that one keep stop_reason null (0.16.8).

    Where others have one too, it tells nothing. A last step may have none; and one that was cut off nevertheless is
    found by the looks at closed runs.
    """
    first = next((step.id for step in page.items if step.stop_reason), None)
    return first is not None and first == page.order[-1]


def is_whole(read: StepList, metrics: RunMetrics | None) -> bool:
    """Whether the run's count says that this list is all of it.

    Letta counts when the run ends, and no further than 50 (0.16.8: see the metrics of a run of 61 steps). So a round
    number proves nothing, and neither does a count that differs.
    """
    count = len(read.page.order)
    counted = metrics is not None and metrics.num_steps == count
    return counted and read.start.step_id is None and not may_continue(count, FULL_PAGE)


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


async def _read(source: LettaSource, followed: FollowedRun, start: ReadFrom) -> StepList:
    delivered = followed.delivered
    page, more = await source.steps(followed.id, start.step_id)
    further = page
    while further.last and delivered.issuperset(page.order) and (more or not has_last_step(page)):
        further, more = await source.steps(followed.id, further.last)
        page = joined(page, further)
    return StepList(page, start, more=more, ended=not further.order)
