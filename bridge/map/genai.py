"""The names of OpenTelemetry's GenAI conventions, semantic-conventions v1.41, and their spelling of providers.

v1.41 is the last version before GenAI moved to a repository of its own. The names are written out: in the package
they sit in a private module, and as deprecated since that move. A test compares them with the package's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
AGENT_ID: Final = "gen_ai.agent.id"
AGENT_NAME: Final = "gen_ai.agent.name"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION_TOKENS: Final = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a count of words, not a secret
TOOL_NAME: Final = "gen_ai.tool.name"
TOOL_TYPE: Final = "gen_ai.tool.type"
TOOL_CALL_ID: Final = "gen_ai.tool.call.id"
EVALUATION_NAME: Final = "gen_ai.evaluation.name"
EVALUATION_LABEL: Final = "gen_ai.evaluation.score.label"
EVALUATION_VALUE: Final = "gen_ai.evaluation.score.value"

ERROR_TYPE: Final = "error.type"
ERROR_OTHER: Final = "_OTHER"
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
EXCEPTION_MESSAGE: Final = "exception.message"
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
# Deprecated in v1.41 for service.peer.name; Tempo's and the collector's service graphs go by this one.
PEER_SERVICE: Final = "peer.service"

INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"
EXECUTE_TOOL: Final = "execute_tool"
FUNCTION: Final = "function"
EVALUATION_RESULT: Final = "gen_ai.evaluation.result"  # the name of an event

_PROVIDERS: Final = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google_ai": "gcp.gemini",
    "google_vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def provider_name(letta_name: str | None) -> str | None:
    """Letta's provider in the convention's spelling; one that the convention does not know stays as it is."""
    return _PROVIDERS.get(letta_name, letta_name) if letta_name else None


@lru_cache(maxsize=256)
def server(endpoint: str | None) -> tuple[str | None, int | None]:
    """Host and port of an endpoint's URL, and nothing else of it: it may carry a key.

    Either is None where the URL does not tell.
    """
    if not endpoint:
        return None, None
    try:
        url = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
        return url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme)
    except ValueError:  # not a URL, or no such port
        return None, None
