"""Query and path parameters, checked as the real server checks them, word for word.

Raises Invalid, which becomes a 422 whose detail is the text of a Python list: that is what Letta 0.16.8 sends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import QueryParams

_UUID4: Final = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


class Invalid(ValueError):
    """The 422.

    Attributes:
        errors: what pydantic says.
        examples: ids of the right form, where an id was wrong.
    """

    def __init__(self, errors: list[dict[str, Any]], examples: list[str] | None = None) -> None:
        super().__init__(str(errors))
        self.errors = errors
        self.examples = examples


class RunStatus(StrEnum):
    """The values that `statuses` takes."""

    CREATED = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StopReason(StrEnum):
    """The values that `stop_reason` takes."""

    END_TURN = "end_turn"
    ERROR = "error"
    LLM_API_ERROR = "llm_api_error"
    INVALID_LLM_RESPONSE = "invalid_llm_response"
    INVALID_TOOL_CALL = "invalid_tool_call"
    MAX_STEPS = "max_steps"
    MAX_TOKENS_EXCEEDED = "max_tokens_exceeded"
    NO_TOOL_CALL = "no_tool_call"
    TOOL_RULE = "tool_rule"
    CANCELLED = "cancelled"
    INSUFFICIENT_CREDITS = "insufficient_credits"
    REQUIRES_APPROVAL = "requires_approval"
    CONTEXT_WINDOW_OVERFLOW = "context_window_overflow_in_system_prompt"


Order = Literal["asc", "desc"]


class RunsQuery(BaseModel):
    """GET /v1/runs/."""

    agent_id: str | None = None
    agent_ids: list[str] | None = None
    statuses: list[str] | None = None
    background: bool | None = None
    stop_reason: StopReason | None = None
    conversation_id: str | None = None
    before: str | None = None
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    order: Order = "desc"
    active: bool = False
    ascending: bool = False


class ListQuery(BaseModel):
    """The steps and the messages of a run: newest first for the one, oldest first for the other."""

    before: str | None = None
    after: str | None = None
    limit: int = 100
    order: Order


class StepsQuery(BaseModel):
    """GET /v1/steps/, as documented."""

    before: str | None = None
    after: str | None = None
    limit: int = 50
    order: Order = "desc"
    start_date: str | None = None
    end_date: str | None = None
    model: str | None = None
    agent_id: str | None = None
    trace_ids: list[str] | None = None
    feedback: Literal["positive", "negative"] | None = None
    has_feedback: bool | None = None
    project_id: str | None = None


Query = TypeVar("Query", bound=BaseModel)


def query(model: type[Query], given: QueryParams, **defaults: str) -> Query:
    """Read a query; parameters that the model does not know are ignored, as the server does.

    Args:
        model: what the route takes.
        given: what came.
        defaults: what the route puts in place of a missing parameter.

    Raises:
        Invalid: a value that does not fit.
    """
    values: dict[str, Any] = dict(defaults)
    for name, field in model.model_fields.items():
        if name in given:
            values[name] = given.getlist(name) if "list" in str(field.annotation) else given[name]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise Invalid([{**one, "loc": ("query", *one["loc"])} for one in found]) from None


def valid_id(kind: str, given: str) -> bool:
    """Whether `given` is a `kind` and a UUID of version 4."""
    return re.fullmatch(f"{kind}-{_UUID4}", given) is not None


def path_id(kind: str, path: Mapping[str, str]) -> str:
    """The path parameter `{kind}_id`.

    Raises:
        Invalid: not such an id.
    """
    name = f"{kind}_id"
    given = path[name]
    if valid_id(kind, given):
        return given
    error = {
        "type": "string_pattern_mismatch",
        "loc": ("path", name),
        "msg": f"String should match pattern '{kind}-{{uuid4}}'",
        "input": given,
        "ctx": {"pattern": f"^{kind}-{_UUID4}$"},
    }
    raise Invalid([error], [f"{kind}-123e4567-e89b-42d3-8456-426614174000"])


def moment(given: str | None) -> datetime | None:
    """An ISO time of a query.

    Raises:
        ValueError: with the text that the server answers.
    """
    return datetime.fromisoformat(given) if given else None
