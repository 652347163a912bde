"""The names of everything of Letta's own: attributes that no convention has a place for."""

from __future__ import annotations

from typing import Final

RUN_ID: Final = "letta.run.id"
RUN_STATUS: Final = "letta.run.status"
RUN_RAW_STATUS: Final = "letta.run.raw_status"  # only where it is not what the bridge concluded
RUN_STOP_REASON: Final = "letta.run.stop_reason"
RUN_BACKGROUND: Final = "letta.run.background"
RUN_STEPS: Final = "letta.run.steps"
RUN_FAILED_STEPS: Final = "letta.run.failed_steps"
RUN_TOTAL_DURATION_NS: Final = "letta.run.total_duration_ns"
RUN_TTFT_NS: Final = "letta.run.ttft_ns"
RUN_INPUT_TOKENS: Final = "letta.run.input_tokens"
RUN_OUTPUT_TOKENS: Final = "letta.run.output_tokens"
RUN_TOTAL_TOKENS: Final = "letta.run.total_tokens"
RUN_CACHE_READ_TOKENS: Final = "letta.run.cache_read_tokens"
RUN_CACHE_WRITE_TOKENS: Final = "letta.run.cache_write_tokens"
RUN_REASONING_TOKENS: Final = "letta.run.reasoning_tokens"
RUN_METADATA: Final = "letta.run.metadata."  # followed by the key
RUN_CALLBACK_ADDRESS: Final = "letta.run.callback.address"  # of the URL the host alone: its path may be a secret
RUN_CALLBACK_SENT_AT: Final = "letta.run.callback.sent_at"
RUN_CALLBACK_STATUS_CODE: Final = "letta.run.callback.status_code"
RUN_CALLBACK_ERROR: Final = "letta.run.callback.error"

RUN_PREVIOUS_STATUS: Final = "letta.run.previous_status"  # what was told before it changed, and so below
RUN_PREVIOUS_STOP_REASON: Final = "letta.run.previous_stop_reason"

STEP_ID: Final = "letta.step.id"
STEP_STATUS: Final = "letta.step.status"
STEP_RAW_STATUS: Final = "letta.step.raw_status"  # only where it is not what the bridge concluded
STEP_STOP_REASON: Final = "letta.step.stop_reason"
STEP_SUSPECT: Final = "letta.step.suspect"
STEP_TAGS: Final = "letta.step.tags"
STEP_PREVIOUS_STATUS: Final = "letta.step.previous_status"
STEP_PREVIOUS_STOP_REASON: Final = "letta.step.previous_stop_reason"
STEP_PREVIOUS_ERROR_TYPE: Final = "letta.step.previous_error_type"
STEP_PREVIOUS_TAGS: Final = "letta.step.previous_tags"
STEP_ORIGIN: Final = "letta.step.origin"
TRACE_ID: Final = "letta.trace_id"  # only where it cannot be the trace's id
TRACE_URL: Final = "letta.trace.url"  # in the user's own viewer
PROJECT_ID: Final = "letta.project.id"
TRANSACTION_ID: Final = "letta.transaction.id"
REQUEST_ID: Final = "letta.request.id"

MODEL_HANDLE: Final = "letta.model.handle"
PROVIDER_NAME: Final = "letta.provider.name"
PROVIDER_CATEGORY: Final = "letta.provider.category"
PROVIDER_ID: Final = "letta.provider.id"
TOTAL_TOKENS: Final = "letta.usage.total_tokens"
CONTEXT_WINDOW_LIMIT: Final = "letta.context_window.limit"
CONTEXT_WINDOW_USED_RATIO: Final = "letta.context_window.used_ratio"

FEEDBACK_VALUE: Final = "letta.feedback.value"
FEEDBACK_PREVIOUS_VALUE: Final = "letta.feedback.previous_value"
CHANGE: Final = "letta.change"
RUN_CHANGED: Final = "letta.run.changed"
STEP_CHANGED: Final = "letta.step.changed"
STEP_EVENT: Final = "letta.step."  # followed by failed, cancelled or abandoned
RUN_EVENT: Final = "letta.run."  # the same

TOOL_STATUS: Final = "letta.tool.status"
TOKEN_TYPE: Final = "letta.token.type"  # noqa: S105 - a count of words, not a secret
TIMING: Final = "letta.timing"

NO_USAGE: Final = "no_usage"  # a success without a single token: a stream that broke off
UNKNOWN: Final = "unknown"
