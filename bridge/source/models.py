"""Letta's records, taken as they come.

Three published schemas of Step differ from each other and from what a real 0.16.8 server sends, so every
field but the id may be missing or null, an unknown enum value is text like any other, and a field never seen
before becomes an attribute beyond those declared, for `unknown_fields` to report. Times with no zone are UTC
(`completed_at` of a run has none). These are dataclasses, because the attributes of a `BaseModel` take six times as
long to read, and those of a step and its messages are read some two hundred times.

Sources: the API pages for Step, and the answers of a real 0.16.8 server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, GetPydanticSchema, StringConstraints, TypeAdapter
from pydantic.dataclasses import dataclass
from pydantic_core import CoreSchema, core_schema, to_json

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2262, 1, 1, tzinfo=UTC)
_INT64: Final = 2**63


def _utc(value: datetime) -> datetime:
    """A time that names no zone is UTC."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _other(value: object) -> object:
    """What is neither text, nothing nor a number of 64 bits: a longer number has no place."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - what pydantic takes for a misfit
    return value


def _schema(schema: CoreSchema) -> GetPydanticSchema:
    """A type's validation as it stands: what is usual is checked without a call of Python's, which costs the most."""
    return GetPydanticSchema(lambda _source, _handler: schema)


# Nanoseconds since the epoch have 64 bits in OTLP and in the ledger.
_zoned = core_schema.datetime_schema(ge=_EARLIEST, lt=_LATEST, tz_constraint="aware")
_zoneless = core_schema.no_info_after_validator_function(_utc, core_schema.datetime_schema())
# By datetime itself, whose UTC is compared ten times as fast as pydantic's.
_iso = core_schema.chain_schema(
    [
        core_schema.str_schema(strict=True),
        core_schema.no_info_plain_validator_function(datetime.fromisoformat),
        _zoned,
    ]
)
_time = core_schema.union_schema(
    [_iso, core_schema.chain_schema([_zoneless, _zoned])],
    mode="left_to_right",
    custom_error_type="time",
    custom_error_message="not a time between 1970 and 2262",
)
_any_text = core_schema.union_schema(
    [core_schema.str_schema(), core_schema.no_info_plain_validator_function(str)], mode="left_to_right"
)
_detail = core_schema.union_schema(
    [
        core_schema.int_schema(strict=True, ge=-_INT64, lt=_INT64),
        core_schema.str_schema(strict=True),
        core_schema.none_schema(),
        core_schema.no_info_plain_validator_function(_other),
    ],
    mode="left_to_right",
    custom_error_type="detail",
    custom_error_message="a number in it is longer than 64 bits",
)

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Timestamp = Annotated[datetime, _schema(_time)]
Whole = Annotated[int, Field(ge=-_INT64, lt=_INT64)]  # counts are added up and sent as 64 bits
Text = Annotated[str, _schema(_any_text)]  # a status of a type never seen stays readable and costs no record
Details = Annotated[Mapping[str, Any], _schema(core_schema.dict_schema(core_schema.str_schema(), _detail))]


_WITH_UNKNOWN: Final = ConfigDict(extra="allow")
_KNOWN_ALONE: Final = ConfigDict(extra="ignore")


@dataclass(frozen=True, kw_only=True, config=_WITH_UNKNOWN)
class Record:
    """What all records with unknown fields have."""

    id: Id


@dataclass(frozen=True, kw_only=True, config=_WITH_UNKNOWN)
class Run(Record):
    """One request to an agent, as GET /v1/runs/ and GET /v1/runs/{id} show it."""

    status: Text | None = None
    stop_reason: Text | None = None
    created_at: Timestamp  # a run without it has no place in the list: it goes to the dead letters
    completed_at: Timestamp | None = None
    agent_id: str | None = None
    conversation_id: str | None = None
    base_template_id: str | None = None
    background: bool | None = None
    metadata: Details | None = None
    request_config: Details | None = None
    callback_url: str | None = None
    callback_sent_at: Timestamp | None = None
    callback_status_code: Whole | None = None
    callback_error: str | None = None
    ttft_ns: Whole | None = None
    total_duration_ns: Whole | None = None  # filled in the list only


@dataclass(frozen=True, kw_only=True, config=_WITH_UNKNOWN)
class Step(Record):
    """One turn of an agent's loop: one LLM request and the tools it called. It carries no time of its own."""

    origin: Text | None = None
    organization_id: str | None = None
    provider_id: str | None = None
    run_id: str | None = None
    agent_id: str | None = None
    provider_name: Text | None = None
    provider_category: Text | None = None
    model: str | None = None
    model_handle: str | None = None
    model_endpoint: str | None = None
    context_window_limit: Whole | None = None
    completion_tokens: Whole | None = None
    prompt_tokens: Whole | None = None
    total_tokens: Whole | None = None
    cached_input_tokens: Whole | None = None
    cache_write_tokens: Whole | None = None
    reasoning_tokens: Whole | None = None
    completion_tokens_details: Details | None = None
    prompt_tokens_details: Details | None = None
    stop_reason: Text | None = None
    tags: tuple[str, ...] | None = None
    tid: str | None = None
    trace_id: str | None = None
    request_id: str | None = None
    messages: list[Any] | None = None  # deprecated and always empty: left unmodelled
    feedback: Text | None = None
    project_id: str | None = None
    error_type: Text | None = None
    error_data: Details | None = None
    status: Text | None = None


@dataclass(frozen=True, kw_only=True, config=_WITH_UNKNOWN)
class StepMetrics(Record):
    """GET /v1/steps/{id}/metrics: measured lengths in nanoseconds; the `*_start_ns` are null on 0.16.8."""

    organization_id: str | None = None
    provider_id: str | None = None
    run_id: str | None = None
    agent_id: str | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    step_start_ns: Whole | None = None
    step_ns: Whole | None = None
    llm_request_start_ns: Whole | None = None
    llm_request_ns: Whole | None = None
    tool_execution_ns: Whole | None = None  # the longest of the step's parallel tools


@dataclass(frozen=True, kw_only=True, config=_WITH_UNKNOWN)
class RunMetrics(Record):
    """GET /v1/runs/{id}/metrics: the run's start (nanoseconds since the epoch) and its length."""

    organization_id: str | None = None
    agent_id: str | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    run_start_ns: Whole | None = None
    run_ns: Whole | None = None
    num_steps: Whole | None = None
    tools_used: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, config=_KNOWN_ALONE)
class ToolCall:
    """A call the model asked for."""

    name: str | None = None
    arguments: str | None = None
    tool_call_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True, config=_KNOWN_ALONE)
class ToolReturn:
    """What one call came back with; `status` is this call's own, unlike the message's top-level one."""

    status: Text | None = None
    tool_call_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True, config=_KNOWN_ALONE)
class Approval:
    """The answer to one call that waited: a yes or a no (`approval`), or what a client-side tool gave (`tool`)."""

    type: Text | None = None
    tool_call_id: str | None = None
    approve: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True, config=_KNOWN_ALONE)
class Message:
    """One message of a run: of its content only what names and times the tools.

    One id can come twice (reasoning and tool call). `date` is exact to the second. `step_id` may name a step of
    an earlier run (a tool that waited for approval) or be null (the approval itself).
    """

    id: Id
    message_type: Text | None = None
    date: Timestamp | None = None
    step_id: str | None = None
    run_id: str | None = None
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] | None = None
    tool_returns: tuple[ToolReturn, ...] | None = None
    approvals: tuple[Approval, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True, config=_KNOWN_ALONE)
class Agent:
    """Of an agent, its name."""

    id: Id
    name: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True, config=_KNOWN_ALONE)
class Health:
    """GET /v1/health/: `ok` even while the server's database is down (0.16.8), so only the version is of use."""

    version: str | None = None


RUN = TypeAdapter(Run)
STEP = TypeAdapter(Step)
STEP_METRICS = TypeAdapter(StepMetrics)
RUN_METRICS = TypeAdapter(RunMetrics)
AGENT = TypeAdapter(Agent)
HEALTH = TypeAdapter(Health)
RUNS = TypeAdapter(list[Run])
STEPS = TypeAdapter(list[Step])
MESSAGES = TypeAdapter(list[Message])


def unknown_fields(records: Iterable[Record]) -> set[str]:
    """Names of the fields that Letta sent and the models do not know, as `Step.name`."""
    return {
        f"{type(record).__name__}.{name}"
        for record in records
        if len(vars(record)) > len(type(record).__dataclass_fields__)
        for name in vars(record).keys() - type(record).__dataclass_fields__.keys()
    }


def as_json(record: Record) -> str:
    """All that Letta told of it, unknown fields included."""
    return to_json(vars(record)).decode()
