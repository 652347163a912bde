"""The names are the convention's, and providers are spelled its way."""

from __future__ import annotations

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as convention
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, exception_attributes, server_attributes

from bridge.map import genai, instruments


def test_attribute_names_are_those_of_the_package() -> None:
    known = {
        value
        for module in (convention, error_attributes, exception_attributes, server_attributes)
        for name, value in vars(module).items()
        if name.isupper()
    }
    ours = {value for value in vars(genai).values() if isinstance(value, str) and value.startswith(PREFIXES)}
    ours.remove(genai.EVALUATION_RESULT)  # an event's name, which the package has no constant for
    assert len(ours) > 20
    assert ours <= known


PREFIXES = ("gen_ai.", "error.", "exception.", "server.")


def test_operations_are_those_of_the_package() -> None:
    known = {operation.value for operation in convention.GenAiOperationNameValues}
    assert {genai.INVOKE_AGENT, genai.CHAT, genai.EXECUTE_TOOL} <= known


def test_metric_names_are_those_of_the_package() -> None:
    assert instruments.TOKEN_USAGE == gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE
    assert instruments.OPERATION_DURATION == gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION


@pytest.mark.parametrize(
    ("letta", "spelled"),
    [
        ("azure", "azure.ai.openai"),
        ("bedrock", "aws.bedrock"),
        ("google_ai", "gcp.gemini"),
        ("google_vertex", "gcp.vertex_ai"),
        ("mistral", "mistral_ai"),
        ("xai", "x_ai"),
    ],
)
def test_providers_the_convention_spells_differently(letta: str, spelled: str) -> None:
    assert genai.provider_name(letta) == spelled
    assert spelled in {provider.value for provider in convention.GenAiProviderNameValues}


@pytest.mark.parametrize("letta", ["openai", "anthropic", "groq", "deepseek", "ollama", "acme"])
def test_other_providers_stay_as_they_are(letta: str) -> None:
    assert genai.provider_name(letta) == letta


@pytest.mark.parametrize("letta", [None, ""])
def test_no_provider(letta: str | None) -> None:
    assert genai.provider_name(letta) is None


@pytest.mark.parametrize(
    ("endpoint", "server"),
    [
        ("https://api.openai.com/v1", ("api.openai.com", 443)),
        ("http://127.0.0.1:18080/v1", ("127.0.0.1", 18080)),
        ("http://[::1]:8000/v1", ("::1", 8000)),
        ("https://user:secret@llm.example.test/v1?key=secret#secret", ("llm.example.test", 443)),
        ("llm.example.test:8443/v1", ("llm.example.test", 8443)),
        ("ollama", ("ollama", None)),
        ("http://llm.example.test:99999/", (None, None)),
        ("http://[::1/", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_server_of_an_endpoint(endpoint: str | None, server: tuple[str | None, int | None]) -> None:
    assert genai.server(endpoint) == server
