"""The dashboards of deploy/grafana as files, and their queries as Grafana sends them to Prometheus."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qs, urlsplit

GRAFANA: Final = Path(__file__).parents[2] / "deploy" / "grafana"
FILES: Final = sorted((GRAFANA / "dashboards").glob("*/*.json"))
NAMES: Final = [f"{file.parent.name}/{file.stem}" for file in FILES]
OR_ZERO: Final = re.compile(r" or (vector\(0\)|0 \* count\([^()]*(\(.*?\)[^()]*)*\))$")

Values = Mapping[str, Sequence[str] | None]
"""What is chosen: a variable's values, None for All."""


@dataclass(frozen=True)
class Query:
    """One query of a dashboard.

    Attributes:
        where: the dashboard and what of it, for messages.
        expr: with Grafana's variables in it.
        kind: how it is sent.
        labels: what its legend, links and columns need of the answer.
    """

    where: str
    expr: str
    kind: Literal["instant", "range"]
    labels: frozenset[str] = frozenset()

    def sent(self, values: Values, *, range_seconds: int, rate_seconds: int) -> str:
        """The text that reaches Prometheus; AssertionError where a variable has no value."""
        text = self.expr.replace("$__range_s", f"{range_seconds}").replace("$__range", f"{range_seconds}s")
        text = text.replace("$__rate_interval", f"{rate_seconds}s")
        for name, chosen in values.items():
            filled_in = _interpolated(chosen).replace("\\", r"\\")  # for re.sub
            text = re.sub(rf"\$\{{{name}\}}|\${name}\b", filled_in, text)
        assert "$" not in text, f"{self.where}: a variable without a value in {text}"
        return text

    def without_zero(self) -> Query:
        """The query that tells nothing from zero."""
        return replace(self, expr=OR_ZERO.sub("", self.expr))


@dataclass(frozen=True)
class Choice:
    """One query variable: what it asks for, and how that becomes values."""

    name: str
    query: str
    regex: str

    def values(self, texts: Sequence[str]) -> list[str]:
        """The values that a person can choose, by Grafana's rules for named groups."""
        if not self.regex:
            return sorted({text for text in texts if text})
        pattern = re.compile(self.regex.strip("/").replace("\\/", "/").replace("(?<", "(?P<"))
        return sorted({found["value"] for text in texts if (found := pattern.search(text))})


def load(file: Path) -> Any:
    """A dashboard."""
    return json.loads(file.read_text(encoding="utf-8"))


def panels(dashboard: Any) -> list[Any]:
    """All panels but the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def links(panel: Any) -> list[Any]:
    """Its data links."""
    found: list[Any] = panel.get("fieldConfig", {}).get("defaults", {}).get("links", [])
    return found


def explored(link: Any) -> dict[str, Any]:
    """The query that Explore finds in a link's address, with Grafana's macros in it."""
    asked = parse_qs(urlsplit(link["url"]).query, strict_parsing=True)
    (pane,) = json.loads(asked["panes"][0]).values()
    (query,) = pane["queries"]
    assert isinstance(query, dict)
    return query


def searches(dashboard: Any) -> list[dict[str, Any]]:
    """All queries for traces: of data links and of panels; each once."""
    targets = [target for panel in panels(dashboard) for target in panel.get("targets", [])]
    found = [target for target in targets if target["datasource"]["uid"] == "${traces}"]
    found += [explored(link) for panel in panels(dashboard) for link in links(panel)]
    return list({json.dumps(query, sort_keys=True): query for query in found}.values())


def queries(dashboard: Any) -> Iterator[Query]:
    """All queries to Prometheus: of panels and of annotations."""
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            if target["datasource"]["type"] == "prometheus":
                kind: Literal["instant", "range"] = "instant" if target.get("instant") else "range"
                where = f"{dashboard['uid']}: {panel['title']}"
                yield Query(where, target["expr"], kind, _labels(panel, target))
    for mark in dashboard["annotations"]["list"]:
        text = f"{mark['titleFormat']} {mark['textFormat']}"
        named = frozenset(re.findall(r"\{\{(\w+)\}\}", text))
        yield Query(f"{dashboard['uid']}: marks {mark['name']}", mark["expr"], "range", named)


def choices(dashboard: Any) -> list[Choice]:
    """The variables that ask Prometheus."""
    return [
        Choice(variable["name"], variable["query"]["query"], variable.get("regex", ""))
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    ]


def _labels(panel: Any, target: Any) -> frozenset[str]:
    legend = re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", ""))
    text = " ".join(link["url"] for link in links(panel))
    clicked = re.findall(r"\$\{__field\.labels\.(\w+)", text) + re.findall(r"\$\{__data\.fields\.(\w+)", text)
    columns = [override["matcher"]["options"] for override in panel["fieldConfig"].get("overrides", [])]
    return frozenset({*legend, *clicked, *columns} - {"Value"})


def _interpolated(chosen: Sequence[str] | None) -> str:
    """As the Prometheus data source fills in a variable that may have several values."""
    if chosen is None:
        return ".*"
    escaped = [re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", value.replace("\\", "\\\\\\\\")) for value in chosen]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
