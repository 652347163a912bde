"""What deploy/prometheus and deploy/alertmanager ship is valid, tested, told in docs/, and about what exists."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from bridge_world import World
from prometheus_client.parser import text_string_to_metric_families
from real import promql
from real.prometheus import needs_prometheus

from bridge import exposition
from bridge.demo import recording

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/prometheus"
ALERTMANAGER = ROOT / "deploy/alertmanager"
RULE_FILES = [FOLDER / name for name in ("letta.records.yml", "letta.alerts.yml")]
RULES = [
    rule for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
TESTS = {file.stem: yaml.safe_load(file.read_text()) for file in sorted(FOLDER.glob("tests/*.yml"))}
RUNBOOKS = ROOT / "docs/runbooks"

ADDED = {"job", "instance", "signal", "metric"}  # by a scrape, or by label_replace in a rule
FROM_PROMETHEUS = {"up"}
OVERFLOW = "otel_metric_overflow"  # only where a cap is reached: tests/metrics reaches it
UNSEEN = {("letta_step_status", "abandoned"), ("letta_run_status", "failed"), ("letta_run_status", "abandoned")}


def run(*command: str | Path) -> str:
    """The output of a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.real
@needs_prometheus
def test_promtool_finds_the_files_valid() -> None:
    run("promtool", "check", "config", FOLDER / "prometheus.yml")
    run("promtool", "check", "rules", *RULE_FILES)


@pytest.mark.real
@needs_prometheus
@pytest.mark.parametrize("alert", TESTS)
def test_the_alert_fires_when_it_should_and_only_then(alert: str) -> None:
    run("promtool", "test", "rules", FOLDER / "tests" / f"{alert}.yml")


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    assert TESTS.keys() == ALERTS.keys()
    for alert, content in TESTS.items():
        checks = [check for test in content["tests"] for check in test["alert_rule_test"]]
        assert {check["alertname"] for check in checks} == {alert}
        assert {bool(check["exp_alerts"]) for check in checks} == {True, False}, alert


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_what_a_person_needs(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert {"summary", "description", "runbook_url"} <= rule["annotations"].keys()
    assert rule["annotations"]["runbook_url"].endswith(f"/{alert}.md")
    if rule["labels"].get("kind") == "event":
        assert {"run", "trace"} <= rule["annotations"].keys()


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == ALERTS.keys()


@pytest.mark.parametrize("alert", ALERTS)
def test_the_table_of_alerts_has_it_with_its_severity(alert: str) -> None:
    rows = re.findall(
        rf"^\| \[{alert}\]\(runbooks/{alert}\.md\) \|.*\|$", (ROOT / "docs/alerts.md").read_text(), re.MULTILINE
    )
    assert len(rows) == 1
    assert f"| {ALERTS[alert]['labels']['severity']} |" in rows[0]


def test_links_in_the_runbooks_lead_somewhere() -> None:
    for page in [*RUNBOOKS.glob("*.md"), ROOT / "docs/alerts.md"]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


async def test_every_metric_and_label_of_a_rule_is_on_the_bridges_page(tmp_path: Path) -> None:
    samples = await page_of_everything(tmp_path)
    for rule in RULES:
        used = promql.metrics(rule["expr"]) - RECORDS - FROM_PROMETHEUS
        assert used <= samples.keys(), rule
        known = {label for values in samples.values() for label in values} | ADDED | {"__name__", OVERFLOW}
        assert promql.labels(rule["expr"]) | labels_in_texts(rule) <= known, rule
        if "{__name__" not in rule["expr"]:
            values = {(label, value) for name in used for label, them in samples[name].items() for value in them}
            for label, operator, value in promql.matchers(rule["expr"]):
                assert operator in {"=", "=~"}
                wanted = {(label, alternative) for alternative in value.split("|")}
                assert label in ADDED or wanted <= values | UNSEEN, rule


async def test_what_the_runbooks_ask_prometheus_for_exists(tmp_path: Path) -> None:
    samples = await page_of_everything(tmp_path)
    known = samples.keys() | RECORDS | {label for values in samples.values() for label in values} | {OVERFLOW}
    for page in RUNBOOKS.glob("*.md"):
        named = re.findall(r"\b(?:model:|tool:|otel_|letta_|gen_ai_)[\w:]+\w", page.read_text())
        assert set(named) <= known, page.name


async def page_of_everything(folder: Path) -> dict[str, dict[str, set[str]]]:
    """Metric → label → values, once the bridge has told every recording."""
    world = World(folder)
    world.environ |= {
        "BRIDGE_METRICS_AGENTS": "true",
        "BRIDGE_TRACE_URL": "http://viewer.test/trace/{trace_id}",
        "BRIDGE_STALE_AFTER": "10m",
    }
    for name in recording.names():
        recording.load(name).play(world.store, world.clock.now())
    async with world.bridge() as bridge:
        await bridge.drain()
        page, _ = exposition.render(await bridge.service.messages())
    samples: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                samples[sample.name][label].add(value)
            samples[sample.name]  # some have no labels
    return samples


def labels_in_texts(rule: dict[str, Any]) -> set[str]:
    return {
        name for text in rule.get("annotations", {}).values() for name in re.findall(r"\$labels\.(\w+)", str(text))
    }


@pytest.mark.real
@needs_prometheus
def test_amtool_finds_the_file_valid() -> None:
    assert "1 templates" in run("amtool", "check-config", ALERTMANAGER / "alertmanager.yml")


@pytest.mark.real
@needs_prometheus
@pytest.mark.parametrize(("alert", "receiver"), [("LettaStepFailed", "people-events"), ("LettaBridgeDown", "people")])
def test_the_end_of_what_is_over_is_no_news(alert: str, receiver: str) -> None:
    labels = [f"{name}={value}" for name, value in {**ALERTS[alert]["labels"], "alertname": alert}.items()]
    config = ALERTMANAGER / "alertmanager.yml"
    assert run("amtool", "config", "routes", "test", f"--config.file={config}", *labels).strip() == receiver
    [found] = [one for one in yaml.safe_load(config.read_text())["receivers"] if one["name"] == receiver]
    ends = {sink["send_resolved"] for sink in found["slack_configs"]}
    assert ends == {receiver == "people"}


def test_who_silences_whom_is_an_alert() -> None:
    rules = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text())["inhibit_rules"]
    for matcher in [one for rule in rules for one in rule["source_matchers"] + rule["target_matchers"]]:
        [(names,)] = [re.fullmatch(r'alertname=~?"(.+)"', matcher).groups()]  # type: ignore[union-attr]
        assert set(names.split("|")) <= ALERTS.keys()


@pytest.mark.real
@needs_prometheus
def test_the_chat_text_has_the_link_to_the_trace(tmp_path: Path) -> None:
    [test, *_] = TESTS["LettaStepFailed"]["tests"]
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
