"""The tests of deploy/prometheus/tests can fail: each of them sees when its rule is changed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from real import promql
from real.prometheus import needs_prometheus

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"
RULE_FILES = ("letta.records.yml", "letta.alerts.yml")
FILES = {name: yaml.safe_load((FOLDER / name).read_text()) for name in RULE_FILES}
RULES = {
    rule.get("alert") or rule["record"]: rule
    for content in FILES.values()
    for group in content["groups"]
    for rule in group["rules"]
}

Rule = dict[str, Any]

pytestmark = [pytest.mark.real, needs_prometheus]


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """(what was done, the rule with that done): everything whose change a person would want to hear of."""
    for what, expression in promql.mutants(rule["expr"]):
        yield what, {**rule, "expr": expression}
    if "record" in rule:
        return
    yield "for is longer", {**rule, "for": "3h"}
    if "for" in rule:
        yield "no for", {key: value for key, value in rule.items() if key != "for"}
    for part in ("labels", "annotations"):
        for name in rule[part]:
            rest = {key: value for key, value in rule[part].items() if key != name}
            yield f"{name} dropped", {**rule, part: rest}
            yield f"{name} changed", {**rule, part: {**rest, name: "something else"}}


def survivors(name: str, folder: Path) -> list[str]:
    """The mutants of a rule that no test sees."""
    shutil.copytree(FOLDER / "tests", folder / "tests")
    tests = sorted(alerts_on(name))
    return [what for what, mutant in mutants(RULES[name]) if not any(seen(mutant, test, folder) for test in tests)]


def alerts_on(name: str) -> set[str]:
    """The alert itself, or all alerts that rest on a recording rule, directly or by way of another."""
    if "alert" in RULES[name]:
        return {name}
    users = [other for other, rule in RULES.items() if name in promql.metrics(rule["expr"])]
    return set().union(*map(alerts_on, users))


def seen(mutant: Rule, alert: str, folder: Path) -> bool:
    """Whether the alert's test fails; it is given no more rules than it needs, since they are evaluated often."""
    rules = {**RULES, mutant.get("alert") or mutant["record"]: mutant}
    needed = rests_on(alert)
    for file, content in FILES.items():
        groups = [
            {"name": group["name"], "rules": [rules[name] for name in names(group) if name in needed]}
            for group in content["groups"]
        ]
        (folder / file).write_text(json.dumps({"groups": groups}))
    done = promtool("test", "rules", str(folder / "tests" / f"{alert}.yml"))
    assert "parse error" not in done.stdout + done.stderr, f"not a mutant but nonsense: {mutant}"
    return done.returncode != 0


def rests_on(name: str) -> set[str]:
    """The rule, and the recording rules below it."""
    below = promql.metrics(RULES[name]["expr"]) & RULES.keys()
    return {name}.union(*map(rests_on, below))


def names(group: Rule) -> list[str]:
    return [rule.get("alert") or rule["record"] for rule in group["rules"]]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", RULES)
def test_every_mutant_is_seen(name: str, tmp_path: Path) -> None:
    assert list(mutants(RULES[name])), "nothing to change"
    assert survivors(name, tmp_path) == []
