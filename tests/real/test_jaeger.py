"""A real Jaeger shows what the bridge sends as docs/traces.md says, and finds it by its tags."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from real.played import Played, bridge, get_json, get_text, letta
from real.programs import JAEGER, JAEGER_FILE, Program, free_address, jaeger, program
from real.prometheus import Prometheus, missing, needs_prometheus
from real.questions import answer, searches
from real.waiting import until

pytestmark = pytest.mark.real

Spans = list[dict[str, Any]]
SERVICE = "letta-fleet"


@dataclass(frozen=True)
class Viewer:
    """A Jaeger that a bridge has sent everything to."""

    jaeger: Program
    played: Played

    def get(self, path: str, **query: str | int) -> Any:
        """What its query API answers."""
        return get_json(self.jaeger.url("JAEGER_PAGE", path), **query)["data"]

    def services(self) -> set[str]:
        return set(self.get("/api/services"))

    def find(self, service: str = SERVICE, **tags: str) -> list[Spans]:
        """The traces that are found by service and tags; in tags `__` stands for a dot."""
        named = {name.replace("__", "."): value for name, value in tags.items()}
        return self.search(service=service, tags=json.dumps(named))

    def search(self, **fields: str) -> list[Spans]:
        """The traces that the search page finds, by the names of its API for the page's fields."""
        start, end = int(self.played.began.timestamp() * 1e6), int(time.time() * 1e6)
        return [trace["spans"] for trace in self.get("/api/traces", limit=1000, start=start, end=end, **fields)]

    def operations(self, span_kind: str) -> set[str]:
        """The operations that its Monitor page shows of one kind of span."""
        query: dict[str, str | int] = {
            "quantile": "0.95",
            "groupByOperation": "true",
            "lookback": 600_000,
            "step": 5000,
            "ratePer": 600_000,
        }
        url = self.jaeger.url("JAEGER_PAGE", "/api/metrics/calls")
        answer = get_json(url, service=SERVICE, spanKind=span_kind, endTs=int(time.time() * 1000), **query)
        return {
            label["value"]
            for metric in answer["metrics"]
            for label in metric["labels"]
            if label["name"] == "operation"
        }

    def runs(self, **tags: str) -> set[str]:
        """The ids of the runs whose traces are found."""
        return {tag(span, "letta.run.id") for spans in self.find(**tags) for span in spans}


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[str, Played]]:
    program(*JAEGER)
    with letta() as server:
        yield server


@pytest.fixture(scope="module")
def viewer(played: tuple[str, Played], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    folder, counted = tmp_path_factory.mktemp("jaeger"), free_address()
    with ExitStack() as stack:
        at = {"JAEGER_SPAN_METRICS": counted}
        if not missing():
            prometheus = stack.enter_context(Prometheus(folder, {"jaeger": [counted]}))
            at["JAEGER_PROMETHEUS"] = prometheus.url
        yield stack.enter_context(viewed(played, folder, at, OTEL_SERVICE_NAME=SERVICE))


@pytest.fixture(scope="module")
def viewer_by_agent(played: tuple[str, Played], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    settings = {"OTEL_SERVICE_NAME": SERVICE, "BRIDGE_SERVICE_PER_AGENT": "true"}
    with viewed(played, tmp_path_factory.mktemp("jaeger"), {}, **settings) as found:
        yield found


@contextmanager
def viewed(server: tuple[str, Played], folder: Path, at: Mapping[str, str], **settings: str) -> Iterator[Viewer]:
    with jaeger(folder, **at) as running:
        address, held = server
        sends_to = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": running.url("JAEGER_OTLP_HTTP"),
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        bridge(address, held, folder, {**sends_to, **settings})
        viewer = Viewer(running, held)
        until(lambda: _stored(viewer) == len(held.runs), seconds=20, what="every trace is stored")
        yield viewer


def _stored(viewer: Viewer) -> int:
    return sum(len(viewer.find(service)) for service in viewer.services())


def tag(span: dict[str, Any], key: str) -> Any:
    return next((each["value"] for each in span["tags"] if each["key"] == key), None)


def parent(span: dict[str, Any]) -> str:
    return next((ref["spanID"] for ref in span["references"] if ref["refType"] == "CHILD_OF"), "")


def test_its_configuration_is_valid() -> None:
    command = [program(*JAEGER), "validate", "--config", f"file:{JAEGER_FILE}"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 0, result.stderr


def test_there_is_one_service(viewer: Viewer) -> None:
    assert viewer.services() == {SERVICE}


def test_operations_are_named_after_agents_models_and_tools_alone(viewer: Viewer) -> None:
    shown = set(viewer.get(f"/api/services/{SERVICE}/operations"))
    agents = {f"invoke_agent {name}" for name in viewer.played.agents.values()}
    models = {f"chat {step['model']}" for step in viewer.played.steps.values()}
    tools = {f"execute_tool {name}" for name in viewer.played.tools}
    assert shown - tools == agents | models | {"agent_step"}
    assert not [name for name in shown if re.search(r"[0-9a-f]{8}-", name)]


def test_a_run_is_one_trace_with_its_steps_below(viewer: Viewer) -> None:
    for run_id in viewer.played.runs:
        (spans,) = viewer.find(letta__run__id=run_id)
        by_id = {span["spanID"]: span for span in spans}
        roots = [span for span in spans if not parent(span)]
        assert [tag(root, "letta.run.id") for root in roots] == [run_id]
        steps = {tag(span, "letta.step.id") for span in spans if span["operationName"] == "agent_step"}
        assert steps == {id_ for id_, step in viewer.played.steps.items() if step["run_id"] == run_id}
        for span in spans:
            above = by_id[parent(span)]["operationName"].split()[0] if parent(span) else ""
            kind = span["operationName"].split()[0]
            assert (
                above
                in {
                    "invoke_agent": {""},
                    "agent_step": {"invoke_agent"},
                    "chat": {"agent_step"},
                    "execute_tool": {
                        "agent_step",
                        "invoke_agent",
                    },  # the run, where an earlier run's step asked for it
                }[kind]
            )
            assert not span["warnings"], span["warnings"]


def test_a_runs_id_pasted_into_the_search_field_opens_its_trace(viewer: Viewer) -> None:
    for run_id in viewer.played.runs:
        (trace,) = viewer.get(f"/api/traces/{run_id.removeprefix('run-').replace('-', '')}")
        assert {tag(span, "letta.run.id") for span in trace["spans"]} == {run_id}


def test_what_failed_is_red_and_nothing_else(viewer: Viewer) -> None:
    steps = {id_ for id_, step in viewer.played.steps.items() if step["status"] == "failed"}
    runs = {id_ for id_, run in viewer.played.runs.items() if run["status"] in {"failed", "cancelled"}}
    red = [span for spans in viewer.find() for span in spans if tag(span, "error") is True]
    assert {tag(span, "letta.step.id") for span in red if span["operationName"] == "agent_step"} == steps
    assert {tag(span, "letta.run.id") for span in red if not parent(span)} == runs
    assert viewer.runs(error="true") == runs | {tag(span, "letta.run.id") for span in red}
    assert all(tag(span, "otel.status_description") for span in red)


def test_a_search_by_a_steps_status_finds_those_runs(viewer: Viewer) -> None:
    assert viewer.runs(letta__step__status="failed") == viewer.played.runs_with(status="failed") != set()


def test_a_search_by_model_finds_those_runs(viewer: Viewer) -> None:
    models = {step["model"] for step in viewer.played.steps.values()}
    assert len(models) == 3
    for model in models:
        assert viewer.runs(gen_ai__request__model=model) == viewer.played.runs_with(model=model)


def test_a_search_by_agent_finds_its_runs(viewer: Viewer) -> None:
    for name in viewer.played.agents.values():
        assert viewer.runs(gen_ai__agent__name=name) == viewer.played.runs_of(name)


def test_failed_steps_of_one_agent_are_one_search(viewer: Viewer) -> None:
    """Both tags stand on one span: Jaeger asks that of them."""
    agent = "billing-clerk"
    found = viewer.runs(letta__step__status="failed", gen_ai__agent__name=agent)
    assert found == viewer.played.runs_of(agent) & viewer.played.runs_with(status="failed") != set()


@pytest.mark.parametrize("question", searches())
def test_the_searches_of_the_page_find_what_they_say(viewer: Viewer, question: str) -> None:
    fields = searches()[question]
    tags = fields.get("Tags", "").replace("RUN_ID", min(viewer.played.runs))
    query = {
        "service": SERVICE,
        "tags": json.dumps(dict(tag.split("=", 1) for tag in tags.split())),
        "operation": fields.get("Operation", ""),
        "minDuration": fields.get("Min Duration", ""),
    }
    found = {tag(span, "letta.run.id") for spans in viewer.search(**query) for span in spans}
    assert found == answer(question, viewer.played) != set()


def test_a_service_for_each_agent_where_it_is_asked_for(viewer_by_agent: Viewer) -> None:
    agents = set(viewer_by_agent.played.agents.values())
    assert viewer_by_agent.services() == agents
    for name in agents:
        runs = {tag(span, "letta.run.id") for spans in viewer_by_agent.find(name) for span in spans}
        assert runs == viewer_by_agent.played.runs_of(name)


def test_its_span_metrics_count_what_the_monitor_page_shows(viewer: Viewer) -> None:
    page = viewer.jaeger.url("JAEGER_SPAN_METRICS", "/metrics")
    steps = len(viewer.played.steps)
    calls = re.compile(r'^traces_span_metrics_calls_total{[^}]*span_name="agent_step"[^}]*} (\d+)', re.MULTILINE)
    until(
        lambda: sum(map(int, calls.findall(get_text(page)))) == steps, seconds=40, what=f"{steps} steps are counted"
    )
    failed = [line for line in get_text(page).splitlines() if "_calls_total" in line and 'STATUS_CODE_ERROR"' in line]
    assert failed
    assert all('error_type="' in line and 'error_type=""' not in line for line in failed)


@needs_prometheus
def test_its_monitor_page_shows_the_kinds_that_the_bridge_sends(viewer: Viewer) -> None:
    until(lambda: "agent_step" in viewer.operations("internal"), seconds=60, every=1, what="it is there")
    models = {f"chat {step['model']}" for step in viewer.played.steps.values()}
    until(lambda: viewer.operations("client") == models, seconds=60, every=1, what="the requests are there")
    assert viewer.operations("server") == set()
