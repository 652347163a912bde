"""The stand-in's routes: the ones the bridge reads, and the two ways to delete.

What a person may switch while it runs are the attributes of `StandIn`. Everything else behaves as it was
measured on Letta 0.16.8, down to the words of the errors. Agents are shown with their name and type alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bridge.demo.standin import answers, filters, params
from bridge.demo.standin.answers import Body
from bridge.demo.standin.paging import CursorNotFound, Window, rows_page, runs_page
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Row, Store

Endpoint = Callable[[Request], Awaitable[Response]]

_OPEN: Final = frozenset({"/v1/health", "/v1/health/"})
_USAGE_STEPS: Final = 50
_NO_STEP: Final = "No Step found with id {}"
_NO_STEP_LIST: Final = "Argument order does not match type typing.Optional[str]; is {} of type <class 'bool'>"


class Unhandled(Exception):
    """What the server does not expect: it answers 500 and closes the connection without saying so."""


class StandIn:
    """One Letta server.

    Attributes:
        store: its rows.
        app: the ASGI application.
        api_key: when set, every route but the health page asks for it.
        documented: the run list's cursors are as documented, as Letta Cloud may have them.
        global_steps: GET /v1/steps/ works, as documented; on 0.16.8 it never does.
        database_down: every row is out of reach and answers 500, while the health page says ok.
    """

    def __init__(
        self,
        store: Store,
        *,
        api_key: str | None = None,
        documented: bool = False,
        global_steps: bool = False,
    ) -> None:
        self.store = store
        self.api_key = api_key
        self.documented = documented
        self.global_steps = global_steps
        self.database_down = False
        self.app = Starlette(
            routes=self._routes(),
            middleware=[Middleware(_Guarded, self)],
            exception_handlers={
                HTTPException: answers.problem,
                params.Invalid: answers.invalid,
                ValueError: answers.bad_value,
                Exception: answers.unhandled,
            },
        )

    def _routes(self) -> list[Route]:
        run, step = "/v1/runs/{run_id}", "/v1/steps/{step_id}"
        return [
            _get("/v1/health/", self._health),
            _get("/v1/runs/", self._runs),
            _get(run, self._run),
            Route(run, self._delete_run, methods=["DELETE"]),
            _get(f"{run}/steps", self._run_steps),
            _get(f"{run}/messages", self._run_messages),
            _get(f"{run}/metrics", self._run_metrics),
            _get(f"{run}/usage", self._run_usage),
            _get("/v1/steps/", self._steps),
            _get(step, self._step),
            _get(f"{step}/metrics", self._step_metrics),
            _get(f"{step}/messages", self._step_messages),
            _get("/v1/agents/{agent_id}", self._agent),
            Route("/v1/agents/{agent_id}", self._delete_agent, methods=["DELETE"]),
        ]

    @property
    def _database(self) -> Store:
        if self.database_down:
            raise Unhandled
        return self.store

    async def _health(self, _: Request) -> Response:
        return JSONResponse({"version": "0.16.8", "status": "ok"})

    async def _runs(self, request: Request) -> Response:
        asked = params.query(params.RunsQuery, request.query_params)
        rows = self._database.rows(Table.RUNS)
        statuses = filters.statuses(asked)
        matching = [row for row in rows if filters.run_matches(row, asked, statuses)]
        window = Window(asked.ascending or asked.order == "asc", asked.limit, asked.after, asked.before)
        page = runs_page(rows, matching, window, documented=self.documented)
        return JSONResponse([answers.listed_run(row, self._database.get(Table.RUN_METRICS, row.id)) for row in page])

    async def _run(self, request: Request) -> Response:
        return JSONResponse(answers.run(self._known_run(request)))

    async def _delete_run(self, _: Request) -> Response:
        """0.16.8 calls a method that is not there, and deletes nothing."""
        raise Unhandled

    async def _run_steps(self, request: Request) -> Response:
        asked = params.query(params.ListQuery, request.query_params, order="desc")
        run = self._known_run(request)
        rows = self._database.rows(Table.STEPS)
        page = _page(_NO_STEP, rows, [row for row in rows if row.fields["run_id"] == run.id], asked)
        return JSONResponse([row.fields for row in page])

    async def _run_messages(self, request: Request) -> Response:
        asked = params.query(params.ListQuery, request.query_params, order="asc")
        run = self._known_run(request)
        rows = self._database.rows(Table.MESSAGES)
        mine = [row for row in rows if row.fields["run_id"] == run.id]
        page = _page("No message found with id '{}' for agent 'None'.", rows, mine, asked)
        wanted = run.fields["request_config"]["include_return_message_types"]
        return JSONResponse(answers.run_messages(page, wanted, newest_first=asked.order == "desc"))

    async def _run_metrics(self, request: Request) -> Response:
        run_id = _run_id(request)
        return JSONResponse(_found(self._database.get(Table.RUN_METRICS, run_id), "RunMetrics", run_id).fields)

    async def _run_usage(self, request: Request) -> Response:
        """Sums over the newest 50 steps, whatever the run has."""
        run = self._known_run(request)
        steps = [row for row in self._database.rows(Table.STEPS) if row.fields["run_id"] == run.id]
        return JSONResponse(answers.usage(steps[-_USAGE_STEPS:]))

    async def _steps(self, request: Request) -> Response:
        asked = params.query(params.StepsQuery, request.query_params)
        start, end = params.moment(asked.start_date), params.moment(asked.end_date)
        if not self.global_steps:
            raise HTTPException(400, _NO_STEP_LIST.format(asked.order == "asc"))
        rows = self._database.rows(Table.STEPS)
        matching = [
            row
            for row in rows
            if (start is None or row.created_at > start)
            and (end is None or row.created_at < end)
            and filters.step_matches(row, asked)
        ]
        page = _page(_NO_STEP, rows, matching, asked)
        return JSONResponse([row.fields for row in page])

    async def _step(self, request: Request) -> Response:
        step_id = params.path_id("step", request.path_params)
        return JSONResponse(_found(self._database.get(Table.STEPS, step_id), "Step", step_id).fields)

    async def _step_metrics(self, request: Request) -> Response:
        step_id = params.path_id("step", request.path_params)
        return JSONResponse(_found(self._database.get(Table.STEP_METRICS, step_id), "StepMetrics", step_id).fields)

    async def _step_messages(self, request: Request) -> Response:
        step_id = params.path_id("step", request.path_params)
        asked = params.query(params.ListQuery, request.query_params, order="asc")
        rows = self._database.rows(Table.MESSAGES)
        page = _page(
            "No Message found with id {}", rows, [row for row in rows if row.fields["step_id"] == step_id], asked
        )
        return JSONResponse([shown for row in page for shown in self._shown_by_step(row)])

    async def _agent(self, request: Request) -> Response:
        agent_id = params.path_id("agent", request.path_params)
        agent = self._database.get(Table.AGENTS, agent_id)
        if agent is None:
            raise HTTPException(404, f"Agent with ID {agent_id} not found")
        return JSONResponse(agent.fields)

    async def _delete_agent(self, request: Request) -> Response:
        agent_id = params.path_id("agent", request.path_params)
        self._database.delete_agent(agent_id)
        return JSONResponse({"message": f"Agent id={agent_id} successfully deleted"})

    def _known_run(self, request: Request) -> Row:
        run_id = _run_id(request)
        return _found(self._database.get(Table.RUNS, run_id), "Run", run_id)

    def _shown_by_step(self, row: Row) -> list[Body]:
        agent = self._database.get(Table.AGENTS, row.fields["agent_id"])
        return answers.step_messages(row, agent.fields["agent_type"] if agent else None)


class _Guarded:
    """The key is asked for before anything else, even before a missing slash is noticed."""

    def __init__(self, app: ASGIApp, letta: StandIn) -> None:
        self._app = app
        self._letta = letta

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = self._letta.api_key
        if key and scope["type"] == "http" and scope["path"] not in _OPEN and not _has_key(Request(scope), key):
            await JSONResponse({"detail": "Unauthorized"}, 401)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _get(path: str, endpoint: Endpoint) -> Route:
    """A route for GET alone: the server answers 405 to HEAD, which Starlette would add."""
    route = Route(path, endpoint, methods=["GET"])
    route.methods = {"GET"}
    return route


def _has_key(request: Request, key: str) -> bool:
    bare = request.headers.get("x-bare-password") == f"password {key}"
    return bare or request.headers.get("authorization") == f"Bearer {key}"


def _run_id(request: Request) -> str:
    run_id: str = request.path_params["run_id"]
    if not params.valid_id("run", run_id):
        wrong = f"INVALID_ARGUMENT: Invalid run ID format: {run_id}. Expected format: 'run-<uuid4>'"
        raise HTTPException(400, wrong)
    return run_id


def _found(row: Row | None, kind: str, row_id: str) -> Row:
    if row is None:
        raise HTTPException(404, answers.not_found(kind, row_id))
    return row


def _page(
    words: str, rows: Sequence[Row], matching: Sequence[Row], asked: params.ListQuery | params.StepsQuery
) -> list[Row]:
    if asked.limit < 0:
        raise HTTPException(500, "A database error occurred.")
    window = Window(asked.order == "asc", asked.limit, asked.after, asked.before)
    try:
        return rows_page(rows, matching, window)
    except CursorNotFound as error:
        raise HTTPException(404, words.format(error)) from None
