"""The settings on docs/backends.md are settings, load, and send where the page says they send."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from bridge.settings import destination, load, resolve
from bridge.settings.fields import rows
from bridge.settings.model import Settings
from bridge.settings.otlp import Signal

PAGE = (Path(__file__).parents[2] / "docs/backends.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(
    r"```ini\n(?P<settings>.*?)```\n\n\| spans \| metrics \| log events \|\n\|---\|---\|---\|\n\| (?P<to>.*?) \|\n",
    re.DOTALL,
)
SIGNALS: tuple[Signal, ...] = get_args(Signal)
VARIABLES = {row.env for row in rows(Settings)} | {"OTEL_RESOURCE_ATTRIBUTES"}  # the latter is read by the resource
EXAMPLES = [
    pytest.param(dict(line.split("=", 1) for line in found["settings"].splitlines()), found["to"].split(" | "))
    for found in EXAMPLE.finditer(PAGE)
]


def test_every_block_of_settings_has_its_table() -> None:
    assert len(EXAMPLES) == PAGE.count("```ini") >= 13


@pytest.mark.parametrize(("environ", "addresses"), EXAMPLES)
def test_a_block_of_settings_sends_where_its_table_says(environ: dict[str, str], addresses: list[str]) -> None:
    assert not environ.keys() - VARIABLES
    settings = load(environ, None)
    assert [_shown(settings, signal) for signal in SIGNALS] == addresses
    assert not settings.notes


def _shown(settings: Settings, signal: Signal) -> str:
    if (to := destination(settings.export, signal)) != "otlp":
        return to
    return f"`{resolve(settings.otlp, signal).url}`"


@pytest.mark.parametrize(
    ("backend", "signal", "headers"),
    [
        ("Grafana Cloud", "logs", {"authorization": "Basic BASE64_OF_INSTANCE_ID_AND_TOKEN"}),
        ("Phoenix", "traces", {"authorization": "Bearer YOUR_API_KEY"}),
        (
            "Langfuse",
            "traces",
            {"authorization": "Basic BASE64_OF_PUBLIC_AND_SECRET_KEY", "x-langfuse-ingestion-version": "4"},
        ),
        ("MLflow", "traces", {"x-mlflow-experiment-id": "0"}),
        ("Datadog without an Agent", "traces", {"dd-api-key": "YOUR_API_KEY", "dd-otlp-source": "llmobs"}),
        ("Datadog without an Agent", "metrics", {"dd-api-key": "YOUR_API_KEY"}),
        ("Honeycomb", "traces", {"x-honeycomb-team": "YOUR_API_KEY"}),
        (
            "Honeycomb",
            "metrics",
            {"x-honeycomb-team": "YOUR_API_KEY", "x-honeycomb-dataset": "letta-metrics"},
        ),
    ],
)
def test_the_headers_that_a_backend_asks_for_arrive(backend: str, signal: Signal, headers: dict[str, str]) -> None:
    found = EXAMPLE.search(PAGE, PAGE.index(f"\n## {backend}\n"))
    assert found
    environ = dict(line.split("=", 1) for line in found["settings"].splitlines())
    assert resolve(load(environ, None).otlp, signal).headers == headers
