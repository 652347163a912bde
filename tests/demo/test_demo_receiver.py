"""The receiver: what it takes, what it refuses, and what the page gets to see of it."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from importlib import resources
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValueList

from bridge.demo import figures as figures_module
from bridge.demo import receiver as receiver_module
from bridge.demo import traces as traces_module
from bridge.demo.figures import FigureBook
from bridge.demo.receiver import Receiver
from bridge.demo.traces import TraceBook, plain
from demo.samples import (
    CHAT,
    PROTOBUF,
    ROOT,
    STEP,
    TOOL,
    TRACE,
    metrics,
    pairs,
    run_span,
    span,
    step_spans,
    traces,
)


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Receiver().app)
    async with httpx.AsyncClient(transport=transport, base_url="http://demo") as client:
        yield client


@pytest.fixture
def small_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "MAX_BODY", 1000)


async def state(http: httpx.AsyncClient, **versions: int) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get("/api/state", params=versions)).json()
    return found


async def send_traces(http: httpx.AsyncClient, *spans: Any) -> None:
    body = traces(spans).SerializeToString()
    (await http.post("/v1/traces", content=body, headers=PROTOBUF)).raise_for_status()


def book(*spans: Any) -> TraceBook:
    filled = TraceBook()
    filled.add(traces(spans))
    return filled


def only(filled: TraceBook) -> dict[str, Any]:
    [summary] = filled.changed(0)
    return summary


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_takes_traces_plain_and_gzip(http: httpx.AsyncClient, encoding: str) -> None:
    body = traces(step_spans()).SerializeToString()
    content = {"identity": body, "gzip": gzip.compress(body)}[encoding]

    answer = await http.post("/v1/traces", content=content, headers={**PROTOBUF, "content-encoding": encoding})

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/x-protobuf"
    assert ExportTraceServiceResponse.FromString(answer.content) == ExportTraceServiceResponse()
    assert (await state(http))["spans"] == {"received": 3, "twice": 0}


async def test_takes_metrics(http: httpx.AsyncClient) -> None:
    body = metrics(letta__runs=3).SerializeToString()

    answer = await http.post("/v1/metrics", content=body, headers=PROTOBUF)

    assert ExportMetricsServiceResponse.FromString(answer.content) == ExportMetricsServiceResponse()
    [series] = (await state(http))["figures"]
    assert (series["name"], series["value"], series["count"]) == ("letta.runs", 3, None)
    assert series["attributes"] == {"letta.run.status": "completed"}


async def test_takes_log_events(http: httpx.AsyncClient) -> None:
    answer = await http.post("/v1/logs", content=b"", headers=PROTOBUF)

    assert ExportLogsServiceResponse.FromString(answer.content) == ExportLogsServiceResponse()


@pytest.mark.parametrize(
    "refused",
    [
        (b"{}", {"content-type": "application/json"}, 415),
        (b"", {}, 415),
        (b"x", {**PROTOBUF, "content-encoding": "br"}, 415),
        (b"\xff\xff", PROTOBUF, 400),
        (b"not gzip", {**PROTOBUF, "content-encoding": "gzip"}, 400),
        (gzip.compress(b"\0" * 100)[:-12], {**PROTOBUF, "content-encoding": "gzip"}, 400),
        (gzip.compress(b"\0" * 2000), {**PROTOBUF, "content-encoding": "gzip"}, 413),
        (b"\0" * 2000, PROTOBUF, 413),
    ],
)
@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics", "/v1/logs"])
async def test_refuses_what_it_cannot_read(
    http: httpx.AsyncClient, small_bodies: None, path: str, refused: tuple[bytes, dict[str, str], int]
) -> None:
    content, headers, status = refused

    assert (await http.post(path, content=content, headers=headers)).status_code == status
    assert (await http.get("/api/state")).status_code == 204


async def test_tells_only_what_is_new(http: httpx.AsyncClient) -> None:
    other = bytes([7] * 16)
    await send_traces(http, *step_spans())
    first = await state(http)
    await send_traces(http, run_span(trace=other, at=(10, 11)))

    second = await state(http, **first["versions"])

    assert second["order"] == [other.hex(), TRACE.hex()]
    assert [trace["id"] for trace in second["traces"]] == [other.hex()]
    assert (await http.get("/api/state", params=second["versions"])).status_code == 204


async def test_a_page_that_outlived_an_earlier_demo_gets_everything(http: httpx.AsyncClient) -> None:
    await send_traces(http, run_span())

    assert len((await state(http, traces=99))["traces"]) == 1


@pytest.mark.parametrize("version", ["-1", "abc", "1e9", "9" * 5000])
async def test_a_garbage_version_counts_as_none(http: httpx.AsyncClient, version: str) -> None:
    await send_traces(http, run_span())

    assert len((await http.get("/api/state", params={"traces": version})).json()["traces"]) == 1


async def test_an_unknown_trace_is_not_found(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"/api/traces/{'0' * 32}")).status_code == 404


async def test_the_page_needs_nothing_from_elsewhere(http: httpx.AsyncClient) -> None:
    folder = resources.files("bridge.demo") / "page"
    for file in folder.iterdir():
        path = "/" if file.name == "index.html" else f"/{file.name}"
        answer = await http.get(path)
        assert answer.status_code == 200, path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        for address in re.findall(r"""(?:https?:)?//[\w.-]+\.\w+""", answer.text):
            assert address == "http://www.w3.org", f"{file.name} points to {address}"


def test_a_summary_sums_up() -> None:
    summary = only(book(run_span(), *step_spans()))

    assert summary["name"] == "clerk"
    assert (summary["start"], summary["duration"]) == (1_795_302_004_472.932, 4000)
    assert (summary["models"], summary["tokens_in"], summary["tokens_out"]) == (["small"], 1200, 34)
    assert (summary["steps"], summary["tools"], summary["errors"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"letta__run__stop_reason": "end_turn"}, ("completed", "end_turn")),
        ({"letta__run__stop_reason": "requires_approval"}, ("waiting", "requires_approval")),
        ({"error": "no", "error__type": "LLMServerError"}, ("failed", "LLMServerError")),
        ({"error": "cancelled", "error__type": "cancelled"}, ("cancelled", "cancelled")),
        ({"error__type": "cancelled"}, ("cancelled", "cancelled")),
        ({"error": "abandoned", "error__type": "abandoned"}, ("abandoned", "abandoned")),
    ],
)
def test_the_state_of_a_run(about: dict[str, str], expected: tuple[str, str]) -> None:
    summary = only(book(*step_spans(), run_span(**about)))

    assert (summary["state"], summary["reason"]) == expected


def test_without_its_own_span_a_run_is_still_running() -> None:
    summary = only(book(*step_spans()))

    assert (summary["state"], summary["name"]) == ("running", "clerk")


def test_a_trace_without_an_agent_is_called_after_its_span() -> None:
    assert only(book(span("something else", ROOT)))["name"] == "something else"


def test_the_waterfall_is_depth_first_by_start() -> None:
    shown = book(*reversed(step_spans()), run_span()).trace(TRACE.hex())

    assert shown is not None
    assert [(one["id"], one["depth"], one["kind"], one["start"], one["duration"]) for one in shown["spans"]] == [
        (ROOT.hex(), 0, "agent", 0, 4000),
        (STEP.hex(), 1, "step", 500, 2500),
        (CHAT.hex(), 2, "chat", 500, 1500),
        (TOOL.hex(), 2, "tool", 2000, 1000),
    ]
    assert (shown["spans"][3]["status"], shown["spans"][3]["message"]) == ("error", "tool_error")


def test_a_span_without_its_parent_stands_at_the_top() -> None:
    shown = book(*step_spans()).trace(TRACE.hex())

    assert shown is not None
    assert [one["depth"] for one in shown["spans"]] == [0, 1, 1]


def test_a_span_that_is_its_own_parent_is_shown() -> None:
    shown = book(span("loop", ROOT, parent=ROOT)).trace(TRACE.hex())

    assert shown is not None
    assert [one["name"] for one in shown["spans"]] == ["loop"]


def test_events_and_links_are_shown() -> None:
    failed = span("agent_step", STEP)
    failed.events.add(
        name="exception", time_unix_nano=failed.end_time_unix_nano, attributes=pairs({"exception.type": "Boom"})
    )
    failed.links.add(trace_id=bytes([9] * 16), span_id=bytes([8] * 8))

    shown = book(failed).trace(TRACE.hex())

    assert shown is not None
    [one] = shown["spans"]
    assert one["events"] == [{"name": "exception", "start": 1000, "attributes": {"exception.type": "Boom"}}]
    assert one["links"] == [{"trace": "09" * 16, "span": "08" * 8}]


def test_a_span_that_comes_twice_is_one_and_counted() -> None:
    filled = book(*step_spans())
    filled.add(traces(step_spans()[:1]))

    shown = filled.trace(TRACE.hex())

    assert shown is not None
    assert (len(shown["spans"]), filled.received, filled.duplicates) == (3, 4, 1)


def test_only_the_last_traces_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces_module, "MAX_TRACES", 2)
    ids = [bytes([number] * 16) for number in (1, 2, 3)]
    filled = book(*(run_span(trace=trace) for trace in ids[:2]))

    filled.add(traces([span("more", STEP, trace=ids[0]), run_span(trace=ids[2])]))

    assert {trace["id"] for trace in filled.changed(0)} == {ids[0].hex(), ids[2].hex()}


def test_a_trace_takes_only_so_many_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces_module, "MAX_SPANS", 2)

    shown = book(*step_spans()).trace(TRACE.hex())

    assert shown is not None
    assert len(shown["spans"]) == 2


def test_values_as_json() -> None:
    nested = AnyValue(kvlist_value=KeyValueList(values=pairs({"a": 1})))

    assert plain(AnyValue(int_value=2**53)) == str(2**53)
    assert plain(AnyValue(bytes_value=b"\x01\xff")) == "01ff"
    assert plain(nested) == {"a": 1}
    assert plain(AnyValue()) is None
    assert [plain(pair.value) for pair in pairs({"a": [1, "b"], "c": True, "d": 0.5})] == [[1, "b"], True, 0.5]


def test_a_new_total_replaces_the_last() -> None:
    figures = FigureBook()
    figures.add(metrics(letta__runs=1))
    figures.add(metrics(letta__runs=4))

    assert [one["value"] for one in figures.shown()] == [4]


def test_gauges_and_histograms() -> None:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    scope.metrics.add(name="b", unit="s").gauge.data_points.add(as_double=1.5)
    scope.metrics.add(name="a", unit="s").histogram.data_points.add(sum=9.0, count=3)
    scope.metrics.add(name="c", unit="s").summary.data_points.add(sum=9.0, count=3)
    figures = FigureBook()
    figures.add(request)

    assert [(one["name"], one["value"], one["count"]) for one in figures.shown()] == [("a", 9.0, 3), ("b", 1.5, None)]


def test_only_so_many_series_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures_module, "MAX_SERIES", 1)
    figures = FigureBook()
    figures.add(metrics(letta__runs=1, letta__steps=2))
    figures.add(metrics(letta__runs=5))

    assert [(one["name"], one["value"]) for one in figures.shown()] == [("letta.runs", 5)]
