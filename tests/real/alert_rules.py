"""The rules of deploy/prometheus and the tests of each alert, read."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "deploy/prometheus"
ALERTMANAGER: Final = ROOT / "deploy/alertmanager"
RULE_FILES: Final = [FOLDER / name for name in ("letta.records.yml", "letta.alerts.yml")]
RULES: Final = [
    rule for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"] for rule in group["rules"]
]
ALERTS: Final = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS: Final = {rule["record"] for rule in RULES if "record" in rule}


@cache
def alert_tests() -> dict[str, Any]:
    """Alert → the content of its file for promtool."""
    return {file.stem: yaml.safe_load(file.read_text()) for file in sorted(FOLDER.glob("tests/*.yml"))}
