"""Every odd case of a real server, and what it becomes. The folders' names are the specification."""

from __future__ import annotations

import json
from typing import Any

import pytest
from map.golden_cases import CASES, GOLDEN, load, map_case, telemetry_of


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, request: pytest.FixtureRequest) -> None:
    became = json.loads(json.dumps(map_case(load(case))))
    expected = GOLDEN / case / "expected.json"
    if request.config.getoption("--update-golden", default=False):
        expected.write_text(json.dumps(became, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    assert became == json.loads(expected.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_says_why_it_is_odd(case: str) -> None:
    assert len(load(case)["why"]) > 20


def _spans(case: str) -> list[dict[str, Any]]:
    spans: list[dict[str, Any]] = json.loads((GOLDEN / case / "expected.json").read_text(encoding="utf-8"))["spans"]
    return spans


@pytest.mark.parametrize("case", CASES)
def test_no_attribute_is_in_two_layers(case: str) -> None:
    """An encoder writes layer by layer, and a name may stand in a span once."""
    for telemetry in telemetry_of(load(case)):
        for span in telemetry.spans:
            assert sum(map(len, span.layers)) == len(span.attributes)


@pytest.mark.parametrize("case", CASES)
def test_no_content_leaves(case: str) -> None:
    """Whatever is secret in an input begins with SECRET."""
    assert "SECRET" not in (GOLDEN / case / "expected.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_every_span_has_an_id_of_its_own(case: str) -> None:
    span_ids = [span["span_id"] for span in _spans(case)]
    assert len(set(span_ids)) == len(span_ids)
