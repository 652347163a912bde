"""The bodies of the stand-in's answers: rows as Letta 0.16.8 shows them, and its errors in its own words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bridge.demo.standin import params
from bridge.demo.standin.rows import ORGANIZATION
from bridge.demo.standin.store import Row

Body = dict[str, Any]

_ACTOR: Final = (
    f"id='user-00000000-0000-4000-8000-000000000000' organization_id='{ORGANIZATION}' name='default_user'"
    " created_at=None updated_at=datetime.datetime(2026, 11, 21, 23, 0, tzinfo=TzInfo(UTC)) is_deleted=False"
)
_SUMMED: Final = ("completion_tokens", "prompt_tokens", "total_tokens")


def run(row: Row) -> Body:
    """One run: created_at with a zone; completed_at is a row's own text, which has none."""
    created = row.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return {**row.fields, "created_at": created}


def listed_run(row: Row, metrics: Row | None) -> Body:
    """One run of the list, the only place where its length is shown."""
    return {**run(row), "total_duration_ns": metrics.fields["run_ns"] if metrics else None}


def usage(steps: Sequence[Row]) -> Body:
    """The sums over some steps; the details are always null."""
    sums = {name: sum(row.fields[name] for row in steps) for name in _SUMMED}
    return {**sums, "prompt_tokens_details": None, "completion_tokens_details": None}


def run_messages(page: Sequence[Row], wanted: Sequence[str] | None, *, newest_first: bool) -> list[Body]:
    """A run's messages, filtered by what its request asked to be returned, after the page was cut."""
    shown = [message for row in page for message in _in_order(row.fields["shown"], newest_first=newest_first)]
    return [message for message in shown if not wanted or message["message_type"] in wanted]


def step_messages(row: Row, agent_type: str | None) -> list[Body]:
    """One turn as the step's own list shows it: last part first, an assistant's text as its reasoning."""
    shown = _in_order(row.fields["shown"], newest_first=True)
    if agent_type != "letta_v1_agent":
        return shown
    return [
        _as_reasoning(message) if message["message_type"] == "assistant_message" else message for message in shown
    ]


def not_found(kind: str, row_id: str) -> str:
    """The words for a row that is not there."""
    return f"{kind} not found with id='['{row_id}']', access level in ['read'] for actor='{_ACTOR}'"


async def problem(_: Request, error: Exception) -> Response:
    """An HTTPException as `{"detail": …}`."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


async def invalid(_: Request, error: Exception) -> Response:
    """The 422: its detail is text, and its trace_id is empty while the server's own tracing is off."""
    assert isinstance(error, params.Invalid)
    examples = {"examples": error.examples} if error.examples else {}
    return JSONResponse({"trace_id": "", "detail": str(error.errors), **examples}, 422)


async def bad_value(_: Request, error: Exception) -> Response:
    """Any other ValueError is a 400 with its text."""
    return JSONResponse({"detail": str(error)}, 400)


async def unhandled(_: Request, _error: Exception) -> Response:
    """Anything else; the exception then goes on to uvicorn, which closes the connection, as it does on 0.16.8."""
    return JSONResponse({"detail": "An unknown error occurred"}, 500)


def _in_order(shown: Sequence[Body], *, newest_first: bool) -> list[Body]:
    return list(reversed(shown)) if newest_first else list(shown)


def _as_reasoning(message: Body) -> Body:
    if message["message_type"] != "assistant_message":
        return message
    kept = {name: value for name, value in message.items() if name != "content"}
    reasoning = {"source": "non_reasoner_model", "reasoning": message["content"], "signature": None}
    return {**kept, "message_type": "reasoning_message", **reasoning}
