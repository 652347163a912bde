"""What can be said of deploy/{collector,jaeger,tempo} and docs/traces.md without the programs that use them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.map import genai, letta

PROJECT = Path(__file__).parents[2]
NAMES = {value for module in (genai, letta) for value in vars(module).values() if isinstance(value, str)}
QUERIES = re.compile(r"```(?:traceql|traceql-metrics|jaeger)\n(.*?)```", re.DOTALL)
DIMENSIONS = ("dimensions", "virtual_node_peer_attributes", "peer_attributes")


def configured(*files: str) -> dict[str, Any]:
    """The files over one another, as a collector merges them."""
    merged: dict[str, Any] = {}
    for file in files:
        _merge(merged, yaml.safe_load((PROJECT / "deploy" / file).read_text(encoding="utf-8")))
    return merged


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


@pytest.mark.parametrize(
    "files",
    [
        ("jaeger/jaeger.yaml",),
        ("collector/collector.yaml",),
        ("collector/collector.yaml", "collector/service-graph.yaml"),
    ],
)
def test_pipelines_use_what_is_configured_and_all_of_it(files: tuple[str, ...]) -> None:
    config = configured(*files)
    used: dict[str, set[str]] = {"receivers": set(), "processors": set(), "exporters": set()}
    for pipeline in config["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            used[kind] |= set(names)
    connectors = set(config["connectors"])
    assert used["receivers"] & used["exporters"] == connectors
    assert used["receivers"] - connectors == set(config["receivers"])
    assert used["exporters"] - connectors == set(config["exporters"])
    assert used["processors"] == set(config["processors"])


@pytest.mark.parametrize(
    "file", ["collector/collector.yaml", "collector/service-graph.yaml", "jaeger/jaeger.yaml", "tempo/tempo.yaml"]
)
def test_attributes_in_the_configurations_are_ones_that_spans_have(file: str) -> None:
    found = set(_attributes(configured(file))) - {"collector.instance.id"}
    assert found
    assert not found - NAMES


def _attributes(config: Any) -> Iterator[str]:
    if isinstance(config, list):
        for each in config:
            yield from _attributes(each)
    elif isinstance(config, dict):
        for key, value in config.items():
            if key in DIMENSIONS:
                yield from (each["name"] if isinstance(each, dict) else each for each in value)
            elif key == "key":
                yield value
            else:
                yield from _attributes(value)


def test_attributes_in_the_searches_of_the_page_are_ones_that_spans_have() -> None:
    page = (PROJECT / "docs/traces.md").read_text(encoding="utf-8")
    searched = {
        name
        for query in QUERIES.findall(page)
        for name in re.findall(r"(?:span\.|Tags: | )((?:letta|gen_ai|error)\.[\w.]+)", query)
    }
    assert len(searched) > 8
    assert not searched - NAMES
