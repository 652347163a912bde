"""Which alert keeps another quiet, by a real Alertmanager with the file of deploy/alertmanager."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from real.prometheus import Alertmanager, needs_prometheus
from real.waiting import until

SHIPPED = Path(__file__).parents[2] / "deploy/alertmanager"
MODEL = {"letta_model_handle": "openai/gpt-4o-mini"}

pytestmark = [pytest.mark.real, needs_prometheus]


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    """Its messages go to nobody: the example's address."""
    shutil.copytree(SHIPPED, tmp_path, dirs_exist_ok=True)
    with Alertmanager(tmp_path, tmp_path / "alertmanager.yml") as running:
        yield running


def silenced(alertmanager: Alertmanager, *alerts: Mapping[str, str]) -> set[str]:
    """The names of those alerts that are kept quiet when all of them fire."""
    posted = [{"labels": labels} for labels in alerts]
    httpx.post(f"{alertmanager.url}/api/v2/alerts", json=posted).raise_for_status()
    until(lambda: len(alertmanager.alerts()) == len(alerts), seconds=20, what="it has taken all of them")
    until(
        lambda: all(alert["status"]["state"] != "unprocessed" for alert in alertmanager.alerts()),
        seconds=30,
        what="it has thought about all of them",
    )
    return {alert["labels"]["alertname"] for alert in alertmanager.alerts() if alert["status"]["inhibitedBy"]}


def test_a_bridge_that_is_down_explains_that_its_metrics_are_missing(alertmanager: Alertmanager) -> None:
    down = {"alertname": "LettaBridgeDown", "job": "letta-bridge", "instance": "a:9464"}
    missing = {"alertname": "LettaMetricsMissing"}
    lagging = {"alertname": "LettaBridgeLagging", "job": "letta-bridge"}
    failed = {"alertname": "LettaStepFailed", "job": "letta-bridge", "kind": "event", **MODEL}
    assert silenced(alertmanager, down, missing, lagging, failed) == {"LettaMetricsMissing", "LettaBridgeLagging"}


@pytest.mark.parametrize("cause", ["LettaRefusesKey", "LettaRateLimited"])
def test_a_bridge_that_may_not_read_falls_behind(alertmanager: Alertmanager, cause: str) -> None:
    lagging = {"alertname": "LettaBridgeLagging", "job": "letta-bridge"}
    assert silenced(alertmanager, {"alertname": cause, "job": "letta-bridge"}, lagging) == {"LettaBridgeLagging"}


def test_another_jobs_trouble_explains_nothing(alertmanager: Alertmanager) -> None:
    lagging = {"alertname": "LettaBridgeLagging", "job": "letta-bridge"}
    assert silenced(alertmanager, {"alertname": "LettaRefusesKey", "job": "other"}, lagging) == set()


def test_a_model_that_keeps_failing_is_one_call(alertmanager: Alertmanager) -> None:
    ratio = {"alertname": "LettaFailureRatioHigh", **MODEL}
    failed = {"alertname": "LettaStepFailed", "kind": "event", **MODEL}
    assert silenced(alertmanager, ratio, failed) == {"LettaStepFailed"}


def test_another_models_failures_are_told(alertmanager: Alertmanager) -> None:
    ratio = {"alertname": "LettaFailureRatioHigh", **MODEL}
    failed = {"alertname": "LettaStepFailed", "kind": "event", "letta_model_handle": "anthropic/claude-sonnet-4-5"}
    assert silenced(alertmanager, ratio, failed) == set()
