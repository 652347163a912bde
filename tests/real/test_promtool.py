"""What deploy/prometheus and deploy/alertmanager ship is valid and does what it should, say promtool and amtool."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from real.alert_rules import ALERTMANAGER, ALERTS, FOLDER, RULE_FILES, alert_tests
from real.prometheus import needs_prometheus

pytestmark = [pytest.mark.real, needs_prometheus]


def run(*command: str | Path) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_the_files_valid() -> None:
    run("promtool", "check", "config", FOLDER / "prometheus.yml")
    run("promtool", "check", "rules", *RULE_FILES)


@pytest.mark.parametrize("alert", ALERTS)
def test_the_alert_fires_when_it_should_and_only_then(alert: str) -> None:
    run("promtool", "test", "rules", FOLDER / "tests" / f"{alert}.yml")


def test_amtool_finds_the_file_valid() -> None:
    assert "1 templates" in run("amtool", "check-config", ALERTMANAGER / "alertmanager.yml")


@pytest.mark.parametrize(("alert", "receiver"), [("LettaStepFailed", "people-events"), ("LettaBridgeDown", "people")])
def test_the_end_of_what_is_over_is_no_news(alert: str, receiver: str) -> None:
    labels = [f"{name}={value}" for name, value in {**ALERTS[alert]["labels"], "alertname": alert}.items()]
    config = ALERTMANAGER / "alertmanager.yml"
    assert run("amtool", "config", "routes", "test", f"--config.file={config}", *labels).strip() == receiver
    [found] = [one for one in yaml.safe_load(config.read_text())["receivers"] if one["name"] == receiver]
    ends = {sink["send_resolved"] for sink in found["slack_configs"]}
    assert ends == {receiver == "people"}


def test_the_chat_text_has_the_link_to_the_trace(tmp_path: Path) -> None:
    [test, *_] = alert_tests()["LettaStepFailed"]["tests"]
    [expected] = [alert for check in test["alert_rule_test"][1:2] for alert in check["exp_alerts"]]
    alert = {"status": "firing", "labels": expected["exp_labels"], "annotations": expected["exp_annotations"]}
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"status": "firing", "alerts": [alert, alert], "commonLabels": alert["labels"]}))

    def rendered(name: str) -> str:
        text = f'{{{{ template "letta.{name}" . }}}}'
        template = ("--template.glob", str(ALERTMANAGER / "letta.tmpl"), "--template.data", str(data))
        return run("amtool", "template", "render", *template, "--template.text", text).strip()

    link = expected["exp_labels"]["letta_trace_url"]
    summary = expected["exp_annotations"]["summary"]
    assert rendered("title") == f"CRITICAL: {summary} (and 1 more)"
    assert rendered("link") == link
    assert rendered("text").splitlines()[:5] == [
        summary,
        expected["exp_annotations"]["description"],
        f"Trace: {link}",
        "Run: run-1",
        "Runbook: docs/runbooks/LettaStepFailed.md",
    ]
