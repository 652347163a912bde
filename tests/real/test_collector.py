"""A real OpenTelemetry Collector with deploy/collector/collector.yaml, between the bridge and a receiver."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from receivers import HttpReceiver

from real.background import in_background
from real.played import Played, bridge, get_text, letta
from real.programs import COLLECTOR, COLLECTOR_FILE, DEPLOY, Program, collector, program
from real.waiting import until

pytestmark = pytest.mark.real

NOTHING: Mapping[str, str] = {}
DECISION_SECONDS = 4  # by then the bridge has sent everything


@dataclass(frozen=True)
class Passed:
    """What a bridge sent to a collector, and what that passed on."""

    played: Played
    collector: Program
    behind: HttpReceiver

    def spans(self) -> list[Span]:
        return [span for request in self.behind.requests if request.path == "/v1/traces" for span in request.spans()]

    def records(self) -> list[LogRecord]:
        return [
            record
            for request in self.behind.requests
            if request.path == "/v1/logs"
            for record in request.log_records()
        ]

    def runs(self) -> set[str]:
        return {attribute(span, "letta.run.id") for span in self.spans()}

    def total(self, name: str, **labels: str) -> float:
        """The sum of a counter's series with these labels, on the page for Prometheus."""
        page = get_text(self.collector.url("COLLECTOR_METRICS_PAGE", "/metrics"))
        return sum(
            float(line.rsplit(" ", 1)[1].split(" # ")[0])
            for line in re.findall(rf"^{name}{{.*}} \S+", page, re.MULTILINE)
            if all(f'{label}="{value}"' in line for label, value in labels.items())
        )


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Played]]:
    program(*COLLECTOR)
    with letta() as found:
        yield found


@pytest.fixture(scope="module")
def all_kept(server: tuple[str, Played], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passed]:
    with passed(server, tmp_path_factory.mktemp("collector")) as found:
        until(lambda: found.runs() == set(found.played.runs), seconds=30, what="every run is passed on")
        yield found


@contextmanager
def passed(
    server: tuple[str, Played], folder: Path, settings: Mapping[str, str] = NOTHING, *, keep: int = 100
) -> Iterator[Passed]:
    address, played = server
    with in_background(HttpReceiver()) as behind:
        environment = {
            "COLLECTOR_TRACES_TO": behind.url,
            "COLLECTOR_LOGS_TO": behind.url,
            "COLLECTOR_DECISION_WAIT": f"{DECISION_SECONDS}s",
            "COLLECTOR_KEEP_PERCENT": str(keep),
            "COLLECTOR_FLUSH_INTERVAL": "500ms",
        }
        with collector(folder, **environment) as running:
            to = {"OTEL_EXPORTER_OTLP_ENDPOINT": running.url("COLLECTOR_OTLP_HTTP")}
            bridge(address, played, folder, {**to, **settings})
            yield Passed(played, running, behind)


def attribute(span: Span | LogRecord, key: str) -> str:
    return next((each.value.string_value for each in span.attributes if each.key == key), "")


def test_its_configuration_is_valid() -> None:
    assert validated(COLLECTOR_FILE) == ""


def test_with_the_service_graph_beside_it_too() -> None:
    components = subprocess.run([program(*COLLECTOR), "components"], capture_output=True, text=True, check=True)
    if "service_graph" not in components.stdout:
        pytest.skip("this collector was built without the service_graph connector")
    assert validated(COLLECTOR_FILE, DEPLOY / "collector/service-graph.yaml") == ""


def validated(*files: Path) -> str:
    """What the collector says against the files; nothing where all is well."""
    configs = [part for file in files for part in ("--config", f"file:{file}")]
    result = subprocess.run(
        [program(*COLLECTOR), "validate", *configs], capture_output=True, text=True, check=False, timeout=30
    )
    return result.stderr if result.returncode else ""


def test_every_step_is_passed_on_once(all_kept: Passed) -> None:
    steps = Counter(attribute(span, "letta.step.id") for span in all_kept.spans() if span.name == "agent_step")
    assert steps == Counter(list(all_kept.played.steps))


def test_span_metrics_count_steps_requests_and_tools(all_kept: Passed) -> None:
    calls = "traces_span_metrics_calls_total"
    steps = len(all_kept.played.steps)
    until(lambda: all_kept.total(calls, span_name="agent_step") == steps, seconds=20, what="the steps are counted")
    tools = [span for span in all_kept.spans() if span.name.startswith("execute_tool")]
    assert all_kept.total(calls, span_kind="SPAN_KIND_CLIENT") == steps
    assert all_kept.total(calls, span_kind="SPAN_KIND_INTERNAL") == steps + len(all_kept.played.runs) + len(tools)
    for status in ("STATUS_CODE_ERROR", "STATUS_CODE_UNSET"):
        code = Status.STATUS_CODE_ERROR if status == "STATUS_CODE_ERROR" else Status.STATUS_CODE_UNSET
        sent = [span for span in all_kept.spans() if span.status.code == code]
        assert all_kept.total(calls, status_code=status) == len(sent) > 0


def test_span_metrics_tell_agents_and_models_apart(all_kept: Passed) -> None:
    played = all_kept.played
    for id_, name in played.agents.items():
        runs = [run for run in played.runs.values() if run["agent_id"] == id_]
        labels = {"span_name": f"invoke_agent {name}", "gen_ai_agent_name": name}
        assert all_kept.total("traces_span_metrics_calls_total", **labels) == len(runs)
    for model, count in Counter(step["model"] for step in played.steps.values()).items():
        labels = {"span_name": f"chat {model}", "gen_ai_request_model": model}
        assert all_kept.total("traces_span_metrics_duration_seconds_count", **labels) == count


@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
def test_metrics_add_up_whichever_way_they_are_sent(
    server: tuple[str, Played], tmp_path: Path, temporality: str
) -> None:
    setting = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality}
    with passed(server, tmp_path, setting) as found:
        steps, runs = len(found.played.steps), len(found.played.runs)
        until(lambda: found.total("letta_runs_total") == runs, seconds=20, what="the runs are counted")
        assert found.total("letta_steps_total") == steps
        assert found.total("letta_step_duration_seconds_count") == steps
        tokens = sum(step["prompt_tokens"] or 0 for step in found.played.steps.values())
        assert found.total("letta_tokens_total", letta_token_type="input") == tokens


def test_a_failed_steps_log_event_leads_to_its_trace(all_kept: Passed) -> None:
    failed = {id_ for id_, step in all_kept.played.steps.items() if step["status"] == "failed"}
    until(lambda: set(_failures(all_kept)) >= failed, seconds=20, what="their log events are passed on")
    found = _failures(all_kept)
    assert set(found) == failed
    spans = {(span.trace_id, span.span_id): span for span in all_kept.spans()}
    for step_id, record in found.items():
        assert attribute(spans[record.trace_id, record.span_id], "letta.step.id") == step_id
        assert record.severity_text == "ERROR"


def _failures(passed_on: Passed) -> dict[str, LogRecord]:
    records = [record for record in passed_on.records() if record.event_name == "letta.step.failed"]
    return {attribute(record, "letta.step.id"): record for record in records}


def test_tail_sampling_keeps_what_failed_or_waits_and_counts_all(server: tuple[str, Played], tmp_path: Path) -> None:
    with passed(server, tmp_path, keep=0) as found:
        played = found.played
        wrong = {id_ for id_, run in played.runs.items() if run["status"] in {"failed", "cancelled"}}
        waiting = {id_ for id_, run in played.runs.items() if run["stop_reason"] == "requires_approval"}
        until(lambda: found.runs() >= wrong | waiting, seconds=30, what="they are passed on")
        kept = {span.trace_id for span in found.spans()}
        red = {span.trace_id for span in found.spans() if span.status.code == Status.STATUS_CODE_ERROR}
        approvals = {
            span.trace_id for span in found.spans() if attribute(span, "letta.run.stop_reason") == "requires_approval"
        }
        assert kept == red | approvals
        assert 0 < len(found.runs()) < len(played.runs)
        steps = Counter(attribute(span, "letta.step.id") for span in found.spans() if span.name == "agent_step")
        assert set(steps) == {id_ for id_, step in played.steps.items() if step["run_id"] in found.runs()}
        counted = found.total("traces_span_metrics_calls_total", span_name="agent_step")
        assert counted == len(played.steps)
