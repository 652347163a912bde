"""The records the bridge reads, one method a route, with the real server's (0.16.8) ways worked around here.

Reads only. Raises what `client` raises, and LettaMisbehaved for a body that is not what the route promises. A page
that is too long for memory is asked for again in shorter ones. A detail (lengths, a name) that Letta cannot show
while it shows the record itself counts as not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

from bridge.clock import Clock
from bridge.errors import (
    AnswerTooLong,
    CursorUnknown,
    LettaMisbehaved,
    LettaNotFound,
    LettaRefused,
    LettaUnavailable,
)
from bridge.log import get_logger
from bridge.source import parse
from bridge.source.client import LettaClient, Params
from bridge.source.models import (
    AGENT,
    HEALTH,
    MESSAGES,
    RUN,
    RUN_METRICS,
    RUNS,
    STEP,
    STEP_METRICS,
    STEPS,
    Message,
    Record,
    Run,
    RunMetrics,
    Step,
    StepMetrics,
    unknown_fields,
)
from bridge.source.pager import RunPager, may_continue
from bridge.source.parse import Malformed, Page

_log = get_logger(__name__)

FULL_PAGE: Final = 1000  # the most that GET /v1/runs/ takes; the other lists know no limit

_SHORTER_PAGES: Final = (100, 10, 1)
_BROKEN_RECORD: Final = 500  # the status that may be about one record alone
_NAME_AGAIN: Final = 600.0  # seconds after which an agent's name that could not be read is asked for again
_SAY_AGAIN: Final = 3600.0  # seconds

T = TypeVar("T", bound=Record)
M = TypeVar("M", bound=Record | Message)


class LettaSource:
    """One Letta server, read-only.

    Attributes:
        pager: the walker of the run list, which learns the server's dialect of cursors.
    """

    def __init__(
        self, client: LettaClient, clock: Clock, *, on_unknown_field: Callable[[str], None] = lambda _name: None
    ) -> None:
        """Wrap a client.

        Args:
            client: the HTTP side.
            clock: to keep the server's clock against.
            on_unknown_field: told each field name never seen before, once.
        """
        self._client = client
        self._clock = clock
        self._on_unknown_field = on_unknown_field
        self._fields_seen: set[str] = set()
        self._names: dict[str, str | None] = {}
        self._nameless_until: dict[str, float] = {}
        self._said_until: dict[str, float] = {}
        self._ahead: float | None = None
        self._malformed: dict[str, Malformed] = {}
        self._malformed_seen: set[str] = set()
        self.pager = RunPager(self._runs)

    def server_now(self) -> float | None:
        """The server's clock, seconds since the epoch; None while no answer carried a date."""
        return None if self._ahead is None else self._clock.now() + self._ahead

    async def version(self) -> str | None:
        """The server's version from its health page, or None where there is none (Letta Cloud)."""
        body = await self._get("/v1/health/", "/v1/health/")
        return parse.one(HEALTH, "a health page", body, "GET /v1/health/").version

    async def runs_before(self, cursor: Run | None, limit: int) -> Sequence[Run]:
        """The next older runs, newest first; see `RunPager.page`."""
        return await self.pager.page(cursor, limit)

    def run_list(self, agent_id: str | None) -> RunPager:
        """A walker of its own over the run list, or over the part of it that is one agent's."""
        return RunPager(lambda query: self._runs({**query, **_of_agent(agent_id)}))

    async def oldest_run(self, agent_id: str | None) -> Run | None:
        """The oldest run, of one agent where one is given; None where there is none that can be read."""
        runs = await self._runs({"order": "asc", "limit": 1, **_of_agent(agent_id)})
        return runs[0] if runs else None

    async def active_runs(self) -> Sequence[Run]:
        """The newest thousand runs that are created or running, newest first."""
        return await self._runs({"active": True, "order": "desc", "limit": FULL_PAGE})

    async def run(self, run_id: str) -> Run:
        """One run as it is now; its `total_duration_ns` is null here even when the list has it."""
        path = f"/v1/runs/{_in_path(run_id)}"
        run = parse.one(RUN, "a run", await self._get(path, "/v1/runs/{id}"), f"GET {path}")
        self._note([run])
        return run

    async def steps(self, run_id: str, after: str | None) -> tuple[Page[Step], bool]:
        """One page of the run's steps after a step, oldest first, and whether another follows.

        `order=asc` because `desc` loses and doubles steps of one instant (0.16.8).

        Raises:
            CursorUnknown: Letta knows the run and not the step.
        """
        path = f"/v1/runs/{_in_path(run_id)}/steps"
        try:
            page, limit = await self._page(STEPS, "step", path, "/v1/runs/{id}/steps", _oldest_first(after))
        except LettaNotFound as error:
            await self.run(run_id)  # raises where the run is gone; else it is the cursor that Letta does not know
            raise CursorUnknown(f"{error}, although the run is there") from error
        if after in page.order:
            raise LettaMisbehaved(f"GET {path} came back with its own cursor {after}: it does not move on")
        self._note(page.items)
        return parse.distinct(page), may_continue(len(page.order), limit)

    async def messages(self, run_id: str, after: str | None) -> Sequence[Message]:
        """One page of the run's messages after a message, oldest first, filtered as the run's request asked."""
        return (await self._messages(run_id, after)).items

    async def messages_of(self, run_id: str, steps: Collection[str], after: str | None) -> Sequence[Message]:
        """The run's messages after a message, oldest first, until every one of these steps has some.

        Where some have none the list is read to its end, which only an empty page proves: a short one may have been
        cut.
        """
        found: list[Message] = []
        missing, seen, cursor, started_over = set(steps), set[str](), after, False
        while True:
            try:
                page = await self._messages(run_id, cursor)
            except LettaNotFound as error:
                await self.run(run_id)  # raises where the run is gone; else it is the cursor that Letta does not know
                if cursor is None or started_over:
                    raise LettaMisbehaved(f"{error}, although the run is there") from error
                found, seen, cursor, started_over = [], set(), None, True
                continue
            if not page.items:
                return found
            if cursor in page.order or seen.intersection(page.order):
                raise LettaMisbehaved(f"the messages of {run_id} do not move on after {cursor}: a page repeats")
            seen.update(page.order)
            found += page.items
            missing -= {message.step_id for message in page.items if message.step_id}
            goes_on = may_continue(len(page.order), FULL_PAGE) and page.items[-1].step_id in {*steps, None}
            if not missing and not goes_on:  # else the last one's may; not where another step's have begun
                return found
            cursor = page.last

    async def step_messages(self, step_id: str) -> Sequence[Message]:
        """A step's messages, unfiltered; empty for a step that is not known."""
        path = f"/v1/steps/{_in_path(step_id)}/messages"
        page, _ = await self._page(MESSAGES, "message", path, "/v1/steps/{id}/messages", _oldest_first(None))
        return page.items

    async def step(self, step_id: str) -> Step:
        """One step by its id."""
        path = f"/v1/steps/{_in_path(step_id)}"
        return parse.one(STEP, "a step", await self._get(path, "/v1/steps/{id}"), f"GET {path}")

    async def step_metrics(self, step_id: str) -> StepMetrics | None:
        """A step's measured lengths; None while the row is not there (up to 2.7 s after the step)."""
        path = f"/v1/steps/{_in_path(step_id)}/metrics"
        return await self._detail(STEP_METRICS, path, "/v1/steps/{id}/metrics", lambda: self.step(step_id))

    async def run_metrics(self, run_id: str) -> RunMetrics | None:
        """A run's start and length; None where there is no row."""
        path = f"/v1/runs/{_in_path(run_id)}/metrics"
        return await self._detail(RUN_METRICS, path, "/v1/runs/{id}/metrics", lambda: self.run(run_id))

    async def agent_name(self, agent_id: str) -> str | None:
        """The agent's name, asked for once; None where the agent is gone or may not be read."""
        if agent_id in self._names:
            return self._names[agent_id]
        if self._clock.now() < self._nameless_until.get(agent_id, 0.0):
            return None
        path = f"/v1/agents/{_in_path(agent_id)}"
        params: Params = {"include_relationships": ""}  # without its tools and memory: the name is enough
        try:
            agent = parse.one(AGENT, "an agent", await self._get(path, "/v1/agents/{id}", params), f"GET {path}")
        except LettaNotFound:
            self._names[agent_id] = None
        except (LettaMisbehaved, LettaRefused, LettaUnavailable) as error:
            if isinstance(error, LettaUnavailable) and error.status != _BROKEN_RECORD:
                raise
            self._nameless_until[agent_id] = self._clock.now() + _NAME_AGAIN
            self._say_goes_without("/v1/agents/{id}", error)
        else:
            self._names[agent_id] = agent.name
        return self._names.get(agent_id)

    async def check_agent(self, agent_id: str) -> None:
        """Raise LettaNotFound or LettaMisbehaved where Letta has no such agent."""
        params: Params = {"include_relationships": ""}
        await self._get(f"/v1/agents/{_in_path(agent_id)}", "/v1/agents/{id}", params)

    async def all_steps(self, since: float, after: str | None) -> Page[Step]:
        """One page of the global step list from a moment (seconds since the epoch) on, oldest first.

        On 0.16.8 this route answers 400 to every call; `has_global_steps` finds out.
        """
        params = {**_oldest_first(after), "start_date": datetime.fromtimestamp(since, UTC).isoformat()}
        page, _ = await self._page(STEPS, "step", "/v1/steps/", "/v1/steps/", params)
        return page

    async def has_global_steps(self) -> bool:
        """Whether GET /v1/steps/ works on this server, and for this key."""
        try:
            await self._get("/v1/steps/", "/v1/steps/", {"limit": 1})
        except (LettaMisbehaved, LettaNotFound, LettaRefused):
            return False
        except LettaUnavailable as error:
            if error.status == _BROKEN_RECORD:
                return False
            raise
        return True

    def take_malformed(self) -> Sequence[Malformed]:
        """Runs and messages that could not be read, each once, though the lists show them again and again."""
        taken, self._malformed = self._malformed, {}
        self._malformed_seen.update(taken)
        return list(taken.values())

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def _runs(self, params: Params) -> Sequence[Run]:
        """The runs of a page; one that cannot be read as it is gets followed all the same, for its steps.

        No letter is kept of such a run: sent again from there, it would be delivered twice.
        """
        page, _ = await self._page(RUNS, "run", "/v1/runs/", "/v1/runs/", params)
        runs = parse.rescued(RUN, page).items
        rescued = {run.id for run in runs}
        for lost in page.malformed:
            if lost.id in rescued:
                self._say_goes_without("/v1/runs/", f"{lost.id}: {lost.reason}")
        self._keep(lost for lost in page.malformed if lost.id not in rescued)
        self._note(runs)
        return runs

    async def _messages(self, run_id: str, after: str | None) -> Page[Message]:
        path = f"/v1/runs/{_in_path(run_id)}/messages"
        page, _ = await self._page(MESSAGES, "message", path, "/v1/runs/{id}/messages", _oldest_first(after))
        self._keep(page.malformed)
        return page

    def _keep(self, malformed: Iterable[Malformed]) -> None:
        self._malformed |= {lost.id: lost for lost in malformed if lost.id not in self._malformed_seen}

    async def _page(
        self, adapter: TypeAdapter[list[M]], kind: str, path: str, endpoint: str, params: Params
    ) -> tuple[Page[M], int]:
        """One page, and the limit it was at last asked for with."""
        limit = params["limit"]
        assert isinstance(limit, int)
        for shorter in (*(size for size in _SHORTER_PAGES if size < limit), None):
            try:
                body = await self._get(path, endpoint, {**params, "limit": limit})
            except AnswerTooLong:
                if shorter is None:
                    raise
                limit = shorter
            else:
                return parse.page(adapter, kind, body, f"GET {path}"), limit
        raise AssertionError("unreachable")

    async def _detail(
        self, adapter: TypeAdapter[T], path: str, endpoint: str, owner: Callable[[], Awaitable[Record]]
    ) -> T | None:
        try:
            return parse.one(adapter, "measured lengths", await self._get(path, endpoint), f"GET {path}")
        except LettaNotFound:
            return None
        except (LettaMisbehaved, LettaUnavailable) as error:
            if isinstance(error, LettaUnavailable) and error.status != _BROKEN_RECORD:
                raise
            await owner()  # raises where it is the server, and not this row alone
            self._say_goes_without(endpoint, error)
            return None

    def _say_goes_without(self, endpoint: str, reason: object) -> None:
        """Once an hour and route: a detail may be missing for every step."""
        now = self._clock.now()
        if now >= self._said_until.get(endpoint, 0.0):
            self._said_until[endpoint] = now + _SAY_AGAIN
            said = "a detail cannot be read: check Letta's log; the rest goes on without it"
            _log.warning(said, reason=str(reason))

    async def _get(self, path: str, endpoint: str, params: Params | None = None) -> bytes:
        reply = await self._client.get(path, endpoint=endpoint, params=params)
        if reply.server_now is not None:
            self._ahead = reply.server_now - self._clock.now()
        return reply.body

    def _note(self, records: Iterable[Record]) -> None:
        for name in unknown_fields(records) - self._fields_seen:
            self._fields_seen.add(name)
            self._on_unknown_field(name)


def _oldest_first(after: str | None) -> dict[str, str | int]:
    cursor: dict[str, str | int] = {"after": after} if after else {}
    return {"order": "asc", "limit": FULL_PAGE, **cursor}


def _in_path(id_: str) -> str:
    """An id as a segment of a path: Letta's own need no quoting, an odd one must not become another route."""
    return quote(id_, safe="")


def _of_agent(agent_id: str | None) -> dict[str, str | int]:
    return {"agent_id": agent_id} if agent_id else {}
