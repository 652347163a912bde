"""What deploy/prometheus and deploy/alertmanager ship is tested, told in docs/, and about what exists."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from bridge_world import World
from prometheus_client.parser import text_string_to_metric_families
from real import promql
from real.alert_rules import ALERTMANAGER, ALERTS, RECORDS, ROOT, RULES, alert_tests

from bridge import exposition
from bridge.demo import recording

RUNBOOKS = ROOT / "docs/runbooks"

ADDED = {"job", "instance", "signal", "metric"}  # by a scrape, or by label_replace in a rule
FROM_PROMETHEUS = {"up"}
OVERFLOW = "otel_metric_overflow"  # only where a cap is reached: tests/metrics reaches it
UNSEEN = {("letta_step_status", "abandoned"), ("letta_run_status", "failed"), ("letta_run_status", "abandoned")}


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    tests = alert_tests()
    assert tests.keys() == ALERTS.keys()
    for alert, content in tests.items():
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


def test_who_silences_whom_is_an_alert() -> None:
    rules = yaml.safe_load((ALERTMANAGER / "alertmanager.yml").read_text())["inhibit_rules"]
    for matcher in [one for rule in rules for one in rule["source_matchers"] + rule["target_matchers"]]:
        [(names,)] = [re.fullmatch(r'alertname=~?"(.+)"', matcher).groups()]  # type: ignore[union-attr]
        assert set(names.split("|")) <= ALERTS.keys()
