"""Every variable that the pages and the files of deploy/ name is a setting, and its default is what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import pytest
from docs.pages import PAGES, ROOT

from bridge.settings import load
from bridge.settings.durations import seconds
from bridge.settings.fields import Row, rows
from bridge.settings.model import Settings

ROWS = {row.env: row for row in rows(Settings)}
OF_FILES = {row.file_env for row in ROWS.values() if row.kind.secret}
BESIDE_THE_MODEL = {"BRIDGE_CONFIG", "OTEL_RESOURCE_ATTRIBUTES"}
OF_LETTA = {"STEP_COMPLETE_WEBHOOK", "STEP_COMPLETE_KEY", "LETTA_PG_URI", "LETTA_SERVER_PASSWORD"}
OF_THE_TESTS = {"BRIDGE_JAEGER", "BRIDGE_COLLECTOR", "BRIDGE_REAL_DIR", "LETTA_LAB", "LETTA_LAB_URL", "LETTA_LAB_DIR"}
WITHOUT_EFFECT = {"OTEL_TRACES_SAMPLER"}  # said to have none
KNOWN = ROWS.keys() | OF_FILES | BESIDE_THE_MODEL | OF_LETTA | OF_THE_TESTS | WITHOUT_EFFECT

VARIABLE = re.compile(r"(?<![A-Z_])(?:BRIDGE|LETTA|OTEL|STEP_COMPLETE)_[A-Z0-9_]*[A-Z0-9](?:_?\*)?")
DEFAULT = re.compile(r"`(?P<name>[A-Z_]+)`(?:,|\s\()\s?(?P<default>\d[\d,]*(?: (?:ms|s|m|h|days?|hours?)\b)?)")
DEPLOYED = sorted(
    file for file in (ROOT / "deploy").rglob("*") if file.suffix in {".yaml", ".yml", ".env", ".service"}
)
DEFAULTS = [
    pytest.param(found["name"], found["default"], id=f"{page.relative_to(ROOT)} {found[0]}")
    for page in PAGES
    for found in DEFAULT.finditer(page.read_text(encoding="utf-8"))
    if found["name"] in ROWS
]


@pytest.mark.parametrize(
    "file", [*PAGES, ROOT / "Dockerfile", *DEPLOYED], ids=lambda file: str(file.relative_to(ROOT))
)
def test_variables_that_are_named_exist(file: Path) -> None:
    assert not set(_unknown(file.read_text(encoding="utf-8")))


def _unknown(text: str) -> Iterator[str]:
    for name in VARIABLE.findall(text):
        if name.endswith("*"):
            if not any(each.startswith(name.rstrip("*")) for each in KNOWN):
                yield name
        elif name not in KNOWN:
            yield name


@pytest.mark.parametrize(("name", "default"), DEFAULTS)
def test_a_default_beside_a_variable_is_its_default(name: str, default: str) -> None:
    """As in: `BRIDGE_SETTLE` (15 s)."""
    assert _number(default) == _value(ROWS[name])


def test_there_are_defaults_to_check() -> None:
    assert len(DEFAULTS) > 15


def _value(row: Row) -> object:
    return reduce(getattr, row.key, load({}, None))


def _number(text: str) -> float:
    number, _, unit = text.replace(",", "").partition(" ")
    return seconds(number + (unit if unit == "ms" else unit[0])) if unit else float(number)
