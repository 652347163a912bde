"""Every search for traces of every dashboard for Jaeger, as Grafana asks it, on a real Jaeger.

A link takes values from what is clicked: each has to find something for some of the values that are there.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from bridge.demo import recording
from real import grafana
from real.grafana import GRAFANA
from real.played import Played, bridge, get_json, letta
from real.programs import JAEGER, Program, jaeger, program
from real.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

# What may be clicked: an error of one model, a dropped stream of another, a tool that failed and one that did not.
CLICKS: Final[tuple[Mapping[str, str], ...]] = (
    {
        "letta_step_status": "failed",
        "error_type": "LLMServerError",
        "letta_model_handle": "openai/gpt-4o-mini",
        "gen_ai_request_model": "gpt-4o-mini",
        "letta_run_status": "failed",
        "gen_ai_tool_name": "run_tests",
        "letta_tool_status": "error",
    },
    {
        "letta_step_status": "success",
        "letta_model_handle": "google_ai/gemini-2.5-flash",
        "gen_ai_request_model": "gemini-2.5-flash",
        "letta_run_status": "completed",
        "gen_ai_tool_name": "run_tests",
        "letta_tool_status": "success",
    },
)


class Viewer:
    """Jaeger's API as Grafana's data source uses it: tags in logfmt become JSON."""

    def __init__(self, running: Program, played: Played) -> None:
        self._running = running
        self.played = played

    def finds(self, query: Mapping[str, Any]) -> bool:
        if "queryType" not in query:
            return bool(get_json(self._running.url("JAEGER_PAGE", f"/api/traces/{query['query']}"))["data"])
        tags = dict(tag.split("=", 1) for tag in query["tags"].split())
        around = {"start": (_seconds(self.played.began) - 60) * 10**6, "end": int(time.time() + 60) * 10**6}
        asked = {"service": query["service"], "limit": query["limit"], "tags": json.dumps(tags), **around}
        return bool(get_json(self._running.url("JAEGER_PAGE", "/api/traces"), **asked)["data"])


@pytest.fixture(scope="module")
def viewer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    folder: Path = tmp_path_factory.mktemp("jaeger")
    program(*JAEGER)
    with letta(recording.names()) as (address, played), jaeger(folder) as running:
        to = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": running.url("JAEGER_OTLP_HTTP"),
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        bridge(address, played, folder, to)
        yield Viewer(running, played)


@pytest.mark.parametrize("uid", ["letta-fleet", "letta-agent", "letta-model", "letta-bridge"])
def test_every_search_finds_traces(viewer: Viewer, uid: str) -> None:
    """As soon as Jaeger shows what it was sent, for some of what may be clicked."""
    asked = grafana.searches(grafana.load(GRAFANA / f"dashboards/jaeger/{uid}.json"))
    assert asked
    for query in asked:
        until(lambda query=query: _found(viewer, query), seconds=20, every=0.5, what=str(query))  # type: ignore[misc]


def test_a_search_for_what_is_not_there_finds_nothing(viewer: Viewer) -> None:
    nowhere = {"queryType": "search", "service": "letta", "tags": "letta.step.status=unheard", "limit": 1}
    assert not viewer.finds(nowhere)


def _found(viewer: Viewer, query: Mapping[str, Any]) -> bool:
    fillings = [{**clicked, **_of(viewer.played)} for clicked in CLICKS]
    return any(viewer.finds(_filled(query, filling)) for filling in fillings)


def _of(played: Played) -> dict[str, str]:
    """Ids are new in every play: an agent and a run that failed."""
    step = next(step for step in played.steps.values() if step["status"] == "failed")
    trace_id = step["run_id"].removeprefix("run-").replace("-", "")
    return {"gen_ai_agent_id": step["agent_id"], "trace_id": trace_id}


def _filled(query: Mapping[str, Any], clicked: Mapping[str, str]) -> dict[str, Any]:
    """The query as it leaves Grafana, with one agent chosen."""
    text = json.dumps(query)
    text = re.sub(r"\$\{__(?:field\.labels|data\.fields)\.(\w+):\w+\}", lambda m: clicked.get(m[1], "none"), text)
    text = text.replace("${agent:pipe}", clicked["gen_ai_agent_id"]).replace("${service}", "letta")
    filled: dict[str, Any] = json.loads(text)
    return filled


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
