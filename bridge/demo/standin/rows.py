"""What a row of each table looks like in the API's answers: every field, in the server's order, empty."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

Fields = dict[str, Any]

ORGANIZATION: Final = "org-00000000-0000-4000-8000-000000000000"


class Table(StrEnum):
    """The tables behind the endpoints that the bridge reads."""

    AGENTS = "agents"
    RUNS = "runs"
    RUN_METRICS = "run_metrics"
    STEPS = "steps"
    STEP_METRICS = "step_metrics"
    MESSAGES = "messages"


_AGENT: Final[Fields] = {"id": None, "name": None, "agent_type": "letta_v1_agent"}

_RUN: Final[Fields] = {
    "id": None,
    "status": "created",
    "created_at": None,
    "completed_at": None,
    "agent_id": None,
    "conversation_id": None,
    "base_template_id": None,
    "background": False,
    "metadata": {"run_type": "send_message"},
    "request_config": {
        "use_assistant_message": True,
        "assistant_message_tool_name": "send_message",
        "assistant_message_tool_kwarg": "message",
        "include_return_message_types": None,
    },
    "stop_reason": None,
    "callback_url": None,
    "callback_sent_at": None,
    "callback_status_code": None,
    "callback_error": None,
    "ttft_ns": None,
    "total_duration_ns": None,
}

_RUN_METRICS: Final[Fields] = {
    "id": None,
    "organization_id": ORGANIZATION,
    "agent_id": None,
    "project_id": None,
    "run_start_ns": None,
    "run_ns": None,
    "num_steps": 0,
    "tools_used": None,
    "template_id": None,
    "base_template_id": None,
}

_STEP: Final[Fields] = {
    "id": None,
    "origin": None,
    "organization_id": ORGANIZATION,
    "provider_id": None,
    "run_id": None,
    "agent_id": None,
    "provider_name": "openai",
    "provider_category": "base",
    "model": "gpt-4o-mini",
    "model_handle": "openai/gpt-4o-mini",
    "model_endpoint": "https://api.openai.com/v1",
    "context_window_limit": 128000,
    "completion_tokens": 0,
    "prompt_tokens": 0,
    "total_tokens": 0,
    "cached_input_tokens": None,
    "cache_write_tokens": None,
    "reasoning_tokens": None,
    "completion_tokens_details": None,
    "prompt_tokens_details": None,
    "stop_reason": None,
    "tags": [],
    "tid": None,
    "trace_id": None,
    "request_id": None,
    "messages": [],
    "feedback": None,
    "project_id": None,
    "error_type": None,
    "error_data": None,
    "status": "pending",
}

_STEP_METRICS: Final[Fields] = {
    "id": None,
    "organization_id": ORGANIZATION,
    "provider_id": None,
    "run_id": None,
    "agent_id": None,
    "step_start_ns": None,
    "llm_request_start_ns": None,
    "llm_request_ns": None,
    "tool_execution_ns": None,
    "step_ns": None,
    "base_template_id": None,
    "template_id": None,
    "project_id": None,
}

# A row of the messages table is one turn; `shown` are the one or two messages that the API makes of it.
_MESSAGE: Final[Fields] = {"id": None, "run_id": None, "step_id": None, "agent_id": None, "shown": []}

EMPTY: Final[dict[Table, Fields]] = {
    Table.AGENTS: _AGENT,
    Table.RUNS: _RUN,
    Table.RUN_METRICS: _RUN_METRICS,
    Table.STEPS: _STEP,
    Table.STEP_METRICS: _STEP_METRICS,
    Table.MESSAGES: _MESSAGE,
}

SHOWN_MESSAGE: Final[Fields] = {
    "id": None,
    "date": None,
    "name": None,
    "message_type": None,
    "otid": None,
    "sender_id": None,
    "step_id": None,
    "is_err": None,
    "seq_id": None,
    "run_id": None,
}
