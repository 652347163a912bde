"""The records the bridge reads, one method a route, with the real server's (0.16.8) ways worked around here.

Reads only. Raises what `client` raises, and LettaMisbehaved for a body that is not what the route promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from bridge.clock import Clock
from bridge.errors import LettaMisbehaved, LettaNotFound, LettaUnavailable
from bridge.source import parse
from bridge.source.client import LettaClient, Params
from bridge.source.models import (
    MESSAGES,
    RUNS,
    STEPS,
    Agent,
    Health,
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

FULL_PAGE: Final = 1000  # the most that GET /v1/runs/ takes; the other lists know no limit


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
        self._ahead: float | None = None
        self._malformed_runs: dict[str, Malformed] = {}
        self._malformed_seen: set[str] = set()
        self.pager = RunPager(self._runs)

    def server_now(self) -> float | None:
        """The server's clock, seconds since the epoch; None while no answer carried a date."""
        return None if self._ahead is None else self._clock.now() + self._ahead

    async def version(self) -> str | None:
        """The server's version from its health page, or None where there is none (Letta Cloud)."""
        body = await self._get("/v1/health/", "/v1/health/")
        return parse.one(Health, body, "GET /v1/health/").version

    async def runs_before(self, cursor: Run | None, limit: int) -> Sequence[Run]:
        """The next older runs, newest first; see `RunPager.page`."""
        return await self.pager.page(cursor, limit)

    async def active_runs(self) -> Sequence[Run]:
        """The newest thousand runs that are created or running, newest first."""
        return await self._runs({"active": True, "order": "desc", "limit": FULL_PAGE})

    async def run(self, run_id: str) -> Run:
        """One run as it is now; its `total_duration_ns` is null here even when the list has it."""
        path = f"/v1/runs/{run_id}"
        run = parse.one(Run, await self._get(path, "/v1/runs/{id}"), f"GET {path}")
        self._note([run])
        return run

    async def steps(self, run_id: str, after: str | None) -> tuple[Page[Step], bool]:
        """One page of the run's steps after a step, oldest first, and whether another follows.

        `order=asc` because `desc` loses and doubles steps of one instant (0.16.8).
        """
        params: dict[str, str | int] = {"order": "asc", "limit": FULL_PAGE}
        if after:
            params["after"] = after
        path = f"/v1/runs/{run_id}/steps"
        try:
            body = await self._get(path, "/v1/runs/{id}/steps", params)
        except LettaNotFound as error:
            await self.run(run_id)  # raises where the run is gone; else it is the cursor that Letta does not know
            raise LettaMisbehaved(f"{error}, although the run is there") from error
        page = parse.page(STEPS, "step", body, f"GET {path}")
        if after in page.order:
            raise LettaMisbehaved(f"GET {path} came back with its own cursor {after}: it does not move on")
        self._note(page.items)
        return page, may_continue(len(page.order), FULL_PAGE)

    async def messages(self, run_id: str, after: str | None) -> Sequence[Message]:
        """One page of the run's messages after a message, oldest first, filtered as the run's request asked."""
        params: dict[str, str | int] = {"order": "asc", "limit": FULL_PAGE}
        if after:
            params["after"] = after
        path = f"/v1/runs/{run_id}/messages"
        body = await self._get(path, "/v1/runs/{id}/messages", params)
        return parse.page(MESSAGES, "message", body, f"GET {path}").items

    async def step_messages(self, step_id: str) -> Sequence[Message]:
        """A step's messages, unfiltered; empty for a step that is not known."""
        path = f"/v1/steps/{step_id}/messages"
        params: Params = {"order": "asc", "limit": FULL_PAGE}
        body = await self._get(path, "/v1/steps/{id}/messages", params)
        return parse.page(MESSAGES, "message", body, f"GET {path}").items

    async def step(self, step_id: str) -> Step:
        """One step by its id."""
        path = f"/v1/steps/{step_id}"
        return parse.one(Step, await self._get(path, "/v1/steps/{id}"), f"GET {path}")

    async def step_metrics(self, step_id: str) -> StepMetrics | None:
        """A step's measured lengths; None while the row is not there (up to 2.7 s after the step)."""
        path = f"/v1/steps/{step_id}/metrics"
        try:
            return parse.one(StepMetrics, await self._get(path, "/v1/steps/{id}/metrics"), f"GET {path}")
        except LettaNotFound:
            return None

    async def run_metrics(self, run_id: str) -> RunMetrics | None:
        """A run's start and length; None where there is no row."""
        path = f"/v1/runs/{run_id}/metrics"
        try:
            return parse.one(RunMetrics, await self._get(path, "/v1/runs/{id}/metrics"), f"GET {path}")
        except LettaNotFound:
            return None

    async def agent_name(self, agent_id: str) -> str | None:
        """The agent's name, asked for once; None where the agent is gone."""
        if agent_id not in self._names:
            path = f"/v1/agents/{agent_id}"
            params: Params = {"include_relationships": ""}  # without its tools and memory: the name is enough
            try:
                agent = parse.one(Agent, await self._get(path, "/v1/agents/{id}", params), f"GET {path}")
            except (LettaNotFound, LettaMisbehaved):
                self._names[agent_id] = None
            else:
                self._names[agent_id] = agent.name
        return self._names[agent_id]

    async def all_steps(self, since: float, after: str | None) -> Page[Step]:
        """One page of the global step list from a moment (seconds since the epoch) on, oldest first.

        On 0.16.8 this route answers 400 to every call; `has_global_steps` finds out.
        """
        start = datetime.fromtimestamp(since, UTC).isoformat()
        params: dict[str, str | int] = {"order": "asc", "limit": FULL_PAGE, "start_date": start}
        if after:
            params["after"] = after
        body = await self._get("/v1/steps/", "/v1/steps/", params)
        return parse.page(STEPS, "step", body, "GET /v1/steps/")

    async def has_global_steps(self) -> bool:
        """Whether GET /v1/steps/ works on this server."""
        try:
            await self._get("/v1/steps/", "/v1/steps/", {"limit": 1})
        except (LettaMisbehaved, LettaNotFound):
            return False
        except LettaUnavailable as error:
            if error.status is not None:
                return False
            raise
        return True

    def take_malformed(self) -> Sequence[Malformed]:
        """Rows of the run list that could not be read, each once, though the list shows them again and again."""
        taken, self._malformed_runs = self._malformed_runs, {}
        self._malformed_seen.update(taken)
        return list(taken.values())

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()

    async def _runs(self, params: Params) -> Sequence[Run]:
        body = await self._get("/v1/runs/", "/v1/runs/", params)
        page = parse.page(RUNS, "run", body, "GET /v1/runs/")
        self._malformed_runs |= {lost.id: lost for lost in page.malformed if lost.id not in self._malformed_seen}
        self._note(page.items)
        return page.items

    async def _get(self, path: str, endpoint: str, params: Params | None = None) -> bytes:
        reply = await self._client.get(path, endpoint=endpoint, params=params)
        if reply.server_now is not None:
            self._ahead = reply.server_now - self._clock.now()
        return reply.body

    def _note(self, records: Iterable[Record]) -> None:
        for name in unknown_fields(records) - self._fields_seen:
            self._fields_seen.add(name)
            self._on_unknown_field(name)
