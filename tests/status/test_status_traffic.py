"""Requests and answers, read off the bridge's own metrics."""

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from bridge.observe import SelfMetrics
from bridge.status.traffic import Route, is_good, traffic


def test_routes_and_answers_come_most_used_first() -> None:
    own = SelfMetrics()
    for answer, times in (("200", 3), ("timeout", 1), ("503", 4)):
        for _ in range(times):
            own.request("/v1/runs/{id}/steps", answer)
    for _ in range(9):
        own.request("/v1/runs/", "200")
    found = traffic(own.message())
    assert found.routes == [
        Route("/v1/runs/", {"200": 9}),
        Route("/v1/runs/{id}/steps", {"503": 4, "200": 3, "timeout": 1}),
    ]
    assert [list(route.answers) for route in found.routes] == [["200"], ["503", "200", "timeout"]]
    assert [route.total for route in found.routes] == [9, 8]


def test_what_became_of_each_signal() -> None:
    own = SelfMetrics()
    own.spans("accepted", 12)
    own.spans("dead", 1)
    own.log_events("unsupported", 2)
    own.metric_exports("waiting")
    own.wakeup("taken")
    found = traffic(own.message())
    assert found.known
    assert found.outcomes == {
        "traces": {"accepted": 12, "rejected": 0, "dead": 1},
        "metrics": {"accepted": 0, "rejected": 0, "waiting": 1},
        "logs": {"accepted": 0, "rejected": 0, "dead": 0, "unsupported": 2},
    }
    assert found.wakeups["taken"] == 1


def test_sweeps_and_their_time() -> None:
    own = SelfMetrics()
    own.sweep(0.5)
    own.sweep(1.5)
    found = traffic(own.message())
    assert (found.sweeps, found.sweep_seconds) == (2, 2.0)


def test_nothing_was_asked_yet() -> None:
    found = traffic(SelfMetrics().message())
    assert found.known
    assert found.routes == []
    assert found.sweeps == 0


def test_without_metrics_nothing_is_known() -> None:
    found = traffic(ExportMetricsServiceRequest())
    assert not found.known
    assert found.outcomes == {"traces": {}, "metrics": {}, "logs": {}}


def test_so_many_routes_that_some_have_no_series_of_their_own() -> None:
    own = SelfMetrics()
    for number in range(2100):
        own.request(f"/v1/{number}", "200")
    found = traffic(own.message())
    assert sum(route.total for route in found.routes) == 2100
    assert any(route.template == "others" for route in found.routes)


def test_good_answers() -> None:
    assert [is_good(answer) for answer in ("200", "204", "404", "401", "429", "503", "timeout")] == [True] * 3 + [
        False
    ] * 4
