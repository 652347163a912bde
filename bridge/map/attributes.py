"""Every attribute of spans, log events and metrics: what it means and from which field of Letta's it comes.

Read by the reference page and by the test that holds it against what is really sent; the mapping itself needs none of
it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from bridge.map import genai, instruments, letta


class Attribute(NamedTuple):
    """What it means, in a few words, and where it comes from."""

    meaning: str
    source: str


class Shape(NamedTuple):
    """A kind of span or of log event.

    Attributes:
        name: of the span or event; braces stand for what differs.
        about: what it is, in a sentence or two.
        attributes: all that it can have; one is left out where Letta has no value for it.
    """

    name: str
    about: str
    attributes: tuple[str, ...]


METADATA: Final = f"{letta.RUN_METADATA}{{key}}"
_BEFORE: Final = "what the bridge had told"

ATTRIBUTES: Final = {
    genai.OPERATION_NAME: Attribute("`invoke_agent`, `chat` or `execute_tool`.", "the span's kind"),
    genai.AGENT_ID: Attribute("The agent.", "`Step.agent_id`, else `Run.agent_id`"),
    genai.AGENT_NAME: Attribute(
        "The agent's name as it was when the first span of the run was made; needs BRIDGE_AGENT_NAMES.", "the agent"
    ),
    genai.CONVERSATION_ID: Attribute("The conversation.", "`Run.conversation_id`"),
    genai.PROVIDER_NAME: Attribute("The provider in the convention's spelling.", "`Step.provider_name`"),
    genai.PEER_SERVICE: Attribute(
        "The same: service graphs show the provider as a node by it.", "`Step.provider_name`"
    ),
    genai.REQUEST_MODEL: Attribute("The model.", "`Step.model`"),
    genai.FINISH_REASONS: Attribute("A list of one.", "`Step.stop_reason`"),
    genai.SERVER_ADDRESS: Attribute("Host of the model's endpoint.", "`Step.model_endpoint`"),
    genai.SERVER_PORT: Attribute("Its port.", "`Step.model_endpoint`"),
    genai.INPUT_TOKENS: Attribute("Input tokens, cached ones included.", "`Step.prompt_tokens`"),
    genai.OUTPUT_TOKENS: Attribute("Output tokens, reasoning included.", "`Step.completion_tokens`"),
    genai.CACHE_READ_TOKENS: Attribute(
        "Input tokens read from the cache.", "`Step.cached_input_tokens`, else `prompt_tokens_details`"
    ),
    genai.CACHE_CREATION_TOKENS: Attribute(
        "Input tokens written to the cache.", "`Step.cache_write_tokens`, else `prompt_tokens_details`"
    ),
    genai.REASONING_TOKENS: Attribute(
        "Output tokens spent on reasoning.", "`Step.reasoning_tokens`, else `completion_tokens_details`"
    ),
    genai.TOOL_NAME: Attribute("The tool, at most 128 characters.", "the call, else the return message"),
    genai.TOOL_TYPE: Attribute("Always `function`.", "constant"),
    genai.TOOL_CALL_ID: Attribute("The model's id of the call.", "`tool_call_id`"),
    genai.EVALUATION_NAME: Attribute("Always `feedback`.", "constant"),
    genai.EVALUATION_LABEL: Attribute("The feedback.", "`Step.feedback`"),
    genai.EVALUATION_VALUE: Attribute("1 for positive, 0 for negative.", "`Step.feedback`"),
    genai.ERROR_TYPE: Attribute(
        "Why it is an error; absent where it is none. `cancelled`, `abandoned` and `tool_error` are the bridge's.",
        "`Step.error_type`, else `stop_reason`; `Run.stop_reason`, else the last failed step's, else `Run.metadata`",
    ),
    genai.EXCEPTION_TYPE: Attribute("The error's type.", "`Step.error_type`"),
    genai.EXCEPTION_MESSAGE: Attribute(
        "The error's message, at most 4,096 characters.", "`Step.error_data`; `Run.metadata`"
    ),
    genai.EXCEPTION_STACKTRACE: Attribute("Letta's traceback, its last 16,384 characters.", "`Step.error_data`"),
    letta.RUN_ID: Attribute("The run.", "`Run.id`, `Step.run_id`"),
    letta.RUN_STATUS: Attribute("How the run ended: completed, failed, cancelled or abandoned.", "`Run.status`"),
    letta.RUN_RAW_STATUS: Attribute("Letta's own word, where the bridge concluded another.", "`Run.status`"),
    letta.RUN_STOP_REASON: Attribute("Why it stopped.", "`Run.stop_reason`"),
    letta.RUN_BACKGROUND: Attribute("Whether it ran in the background.", "`Run.background`"),
    letta.RUN_STEPS: Attribute("Its steps.", "counted"),
    letta.RUN_FAILED_STEPS: Attribute("Its steps that failed.", "counted"),
    letta.RUN_TOTAL_DURATION_NS: Attribute(
        "How long it took as Letta measured it.", "`Run.total_duration_ns`, else `run_ns` of its metrics"
    ),
    letta.RUN_TTFT_NS: Attribute("Time to the first token.", "`Run.ttft_ns`"),
    letta.RUN_INPUT_TOKENS: Attribute("Input tokens of all its steps.", "summed"),
    letta.RUN_OUTPUT_TOKENS: Attribute("Output tokens of all its steps.", "summed"),
    letta.RUN_TOTAL_TOKENS: Attribute("All tokens of all its steps.", "summed"),
    letta.RUN_CACHE_READ_TOKENS: Attribute("Tokens that all its steps read from the cache.", "summed"),
    letta.RUN_CACHE_WRITE_TOKENS: Attribute("Tokens that all its steps wrote to the cache.", "summed"),
    letta.RUN_REASONING_TOKENS: Attribute("Reasoning tokens of all its steps.", "summed"),
    METADATA: Attribute("One for each key that BRIDGE_RUN_METADATA lists.", "`Run.metadata`"),
    letta.RUN_CALLBACK_ADDRESS: Attribute("Host of the callback.", "`Run.callback_url`"),
    letta.RUN_CALLBACK_SENT_AT: Attribute("When it was called.", "`Run.callback_sent_at`"),
    letta.RUN_CALLBACK_STATUS_CODE: Attribute("What it answered.", "`Run.callback_status_code`"),
    letta.RUN_CALLBACK_ERROR: Attribute("Why it could not be called.", "`Run.callback_error`"),
    letta.RUN_PREVIOUS_STATUS: Attribute("The status before.", _BEFORE),
    letta.RUN_PREVIOUS_STOP_REASON: Attribute("The stop reason before.", _BEFORE),
    letta.STEP_ID: Attribute("The step.", "`Step.id`"),
    letta.STEP_STATUS: Attribute("How the step ended: success, failed, cancelled or abandoned.", "`Step.status`"),
    letta.STEP_RAW_STATUS: Attribute("Letta's own word, where the bridge concluded another.", "`Step.status`"),
    letta.STEP_STOP_REASON: Attribute("Why it stopped.", "`Step.stop_reason`"),
    letta.STEP_SUSPECT: Attribute("`no_usage`: a success without a single token, a stream that broke off.", "counts"),
    letta.STEP_TAGS: Attribute("Its tags.", "`Step.tags`"),
    letta.STEP_ORIGIN: Attribute("Where it comes from.", "`Step.origin`"),
    letta.STEP_PREVIOUS_STATUS: Attribute("The status before.", _BEFORE),
    letta.STEP_PREVIOUS_STOP_REASON: Attribute("The stop reason before.", _BEFORE),
    letta.STEP_PREVIOUS_ERROR_TYPE: Attribute("The error before.", _BEFORE),
    letta.STEP_PREVIOUS_TAGS: Attribute("The tags before.", _BEFORE),
    letta.TRACE_ID: Attribute("The raw trace id, where it cannot be the trace's.", "`Step.trace_id`"),
    letta.TRACE_URL: Attribute("The trace in your viewer; needs BRIDGE_TRACE_URL.", "the setting"),
    letta.PROJECT_ID: Attribute("The project.", "`Step.project_id`"),
    letta.TRANSACTION_ID: Attribute("The transaction.", "`Step.tid`"),
    letta.REQUEST_ID: Attribute("The API request.", "`Step.request_id`"),
    letta.MODEL_HANDLE: Attribute("Letta's name of the model: provider/model.", "`Step.model_handle`"),
    letta.PROVIDER_NAME: Attribute("The provider as Letta calls it.", "`Step.provider_name`"),
    letta.PROVIDER_CATEGORY: Attribute("`base` or `byok`.", "`Step.provider_category`"),
    letta.PROVIDER_ID: Attribute("The provider.", "`Step.provider_id`"),
    letta.TOTAL_TOKENS: Attribute("Input and output tokens.", "`Step.total_tokens`"),
    letta.CONTEXT_WINDOW_LIMIT: Attribute("Tokens that the context window holds.", "`Step.context_window_limit`"),
    letta.CONTEXT_WINDOW_USED_RATIO: Attribute("The share of it that was taken, 0 to 1.", "the two above"),
    letta.FEEDBACK_PREVIOUS_VALUE: Attribute("The feedback before.", _BEFORE),
    letta.TOOL_STATUS: Attribute(
        "`success`, `error`, whatever else Letta says, or `unknown`: no return came.", "`tool_returns[].status`"
    ),
    letta.TIMING: Attribute(
        "How the span's times were found: `measured`, `reconstructed` or `estimated`.", "the layout of time"
    ),
}

METRIC_ATTRIBUTES: Final = {
    genai.TOKEN_TYPE: Attribute("`input`, cached ones included, or `output`.", "the usage"),
    letta.TOKEN_TYPE: Attribute(
        "`input`, `output`; of the input `cache_read`, `cache_write`; of the output `reasoning`.", "the usage"
    ),
    letta.FEEDBACK_VALUE: Attribute("The feedback.", "`Step.feedback`"),
    letta.CHANGE: Attribute("`run_status`, `step_status`, `tokens`, `tags` or `feedback`.", "the comparison"),
    instruments.TRACE_ID: Attribute("The trace's id.", "the span"),
}

_AGENT: Final = (genai.AGENT_ID, genai.AGENT_NAME, genai.CONVERSATION_ID)
_STEP: Final = (letta.STEP_ID, letta.RUN_ID, *_AGENT, letta.TRACE_ID)
_EXCEPTION: Final = (genai.EXCEPTION_TYPE, genai.EXCEPTION_MESSAGE, genai.EXCEPTION_STACKTRACE)
_USAGE: Final = (
    genai.INPUT_TOKENS,
    genai.OUTPUT_TOKENS,
    genai.CACHE_READ_TOKENS,
    genai.CACHE_CREATION_TOKENS,
    genai.REASONING_TOKENS,
    letta.TOTAL_TOKENS,
)

SPANS: Final = (
    Shape(
        "invoke_agent {agent}",
        "INTERNAL. A run, from its creation to its end; sent when it is over. The agent's name, else its id.",
        (
            genai.OPERATION_NAME,
            letta.RUN_ID,
            *_AGENT,
            genai.ERROR_TYPE,
            letta.RUN_STATUS,
            letta.RUN_RAW_STATUS,
            letta.RUN_STOP_REASON,
            letta.RUN_BACKGROUND,
            letta.RUN_STEPS,
            letta.RUN_FAILED_STEPS,
            letta.RUN_TOTAL_DURATION_NS,
            letta.RUN_TTFT_NS,
            letta.RUN_INPUT_TOKENS,
            letta.RUN_OUTPUT_TOKENS,
            letta.RUN_TOTAL_TOKENS,
            letta.RUN_CACHE_READ_TOKENS,
            letta.RUN_CACHE_WRITE_TOKENS,
            letta.RUN_REASONING_TOKENS,
            METADATA,
            letta.RUN_CALLBACK_ADDRESS,
            letta.RUN_CALLBACK_SENT_AT,
            letta.RUN_CALLBACK_STATUS_CODE,
            letta.RUN_CALLBACK_ERROR,
            letta.TIMING,
        ),
    ),
    Shape(
        "agent_step",
        "INTERNAL. A step: one request to the model and the tools that it asked for.",
        (
            *_STEP,
            letta.MODEL_HANDLE,
            genai.ERROR_TYPE,
            letta.STEP_STATUS,
            letta.STEP_RAW_STATUS,
            letta.STEP_STOP_REASON,
            letta.STEP_SUSPECT,
            letta.STEP_TAGS,
            letta.STEP_ORIGIN,
            letta.PROVIDER_CATEGORY,
            letta.PROVIDER_ID,
            letta.PROJECT_ID,
            letta.TRANSACTION_ID,
            letta.REQUEST_ID,
            letta.TIMING,
        ),
    ),
    Shape(
        "chat {model}",
        "CLIENT. The step's request to the model. It alone carries usage: backends add up what they find.",
        (
            genai.OPERATION_NAME,
            *_STEP,
            letta.MODEL_HANDLE,
            letta.STEP_STATUS,
            genai.ERROR_TYPE,
            genai.PROVIDER_NAME,
            letta.PROVIDER_NAME,
            genai.PEER_SERVICE,
            genai.REQUEST_MODEL,
            genai.FINISH_REASONS,
            genai.SERVER_ADDRESS,
            genai.SERVER_PORT,
            *_USAGE,
            letta.CONTEXT_WINDOW_LIMIT,
            letta.CONTEXT_WINDOW_USED_RATIO,
            letta.TIMING,
        ),
    ),
    Shape(
        "execute_tool {tool}",
        "INTERNAL. A tool that ran. One that waited for approval is below its step, or linked to it, in the run "
        "that approved it, and then without the step's status.",
        (
            genai.OPERATION_NAME,
            *_STEP,
            letta.STEP_STATUS,
            genai.TOOL_NAME,
            genai.TOOL_TYPE,
            genai.TOOL_CALL_ID,
            letta.TOOL_STATUS,
            genai.ERROR_TYPE,
            letta.TIMING,
        ),
    ),
)

SPAN_EVENTS: Final = (
    Shape("exception", "On the spans of a step and of its chat, where Letta keeps an error.", _EXCEPTION),
)

_STEP_WRONG: Final = (
    letta.STEP_ID,
    letta.RUN_ID,
    *_AGENT,
    letta.MODEL_HANDLE,
    letta.STEP_STATUS,
    letta.STEP_STOP_REASON,
    genai.ERROR_TYPE,
    genai.EXCEPTION_MESSAGE,
    letta.TRACE_URL,
)
_RUN_WRONG: Final = (
    letta.RUN_ID,
    *_AGENT,
    letta.RUN_STATUS,
    letta.RUN_STOP_REASON,
    genai.ERROR_TYPE,
    letta.TRACE_URL,
)

LOG_EVENTS: Final = (
    Shape("letta.step.failed", "ERROR. A step failed.", _STEP_WRONG),
    Shape("letta.step.cancelled", "WARN. A step was cancelled; its message is Letta's raw error.", _STEP_WRONG),
    Shape("letta.step.abandoned", "ERROR. A step was given up: Letta never said how it ended.", _STEP_WRONG),
    Shape(
        "letta.run.failed",
        "ERROR. A run failed though none of its steps did.",
        (*_RUN_WRONG, genai.EXCEPTION_MESSAGE),
    ),
    Shape("letta.run.cancelled", "WARN. A run was cancelled though none of its steps was.", _RUN_WRONG),
    Shape("letta.run.abandoned", "ERROR. A run was given up though none of its steps was.", _RUN_WRONG),
    Shape(
        letta.RUN_CHANGED,
        "A run's end is another than its span said. WARN where that is for the worse, else INFO.",
        (
            letta.RUN_ID,
            *_AGENT,
            letta.RUN_PREVIOUS_STATUS,
            letta.RUN_STATUS,
            letta.RUN_PREVIOUS_STOP_REASON,
            letta.RUN_STOP_REASON,
        ),
    ),
    Shape(
        letta.STEP_CHANGED,
        "A step's end, tokens or tags are others than its spans said, or its feedback was withdrawn. WARN where it "
        "ended worse, else INFO.",
        (
            *_STEP,
            letta.MODEL_HANDLE,
            letta.STEP_PREVIOUS_STATUS,
            letta.STEP_STATUS,
            letta.STEP_PREVIOUS_STOP_REASON,
            letta.STEP_STOP_REASON,
            letta.STEP_PREVIOUS_ERROR_TYPE,
            genai.ERROR_TYPE,
            *_EXCEPTION,
            *_USAGE,
            letta.STEP_PREVIOUS_TAGS,
            letta.STEP_TAGS,
            letta.FEEDBACK_PREVIOUS_VALUE,
        ),
    ),
    Shape(
        genai.EVALUATION_RESULT,
        "INFO. Feedback was given to a step, or changed.",
        (
            *_STEP,
            letta.MODEL_HANDLE,
            genai.EVALUATION_NAME,
            genai.EVALUATION_LABEL,
            genai.EVALUATION_VALUE,
            letta.FEEDBACK_PREVIOUS_VALUE,
        ),
    ),
)
