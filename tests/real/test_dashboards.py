"""Every query of every dashboard, as Grafana sends it, on a real Prometheus that reads a real bridge.

The bridge stands between a Letta stand-in, to which every recording has happened, and a receiver. It plays them a
second time while Prometheus looks, so that counters grow.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.clock import SystemClock
from bridge.demo import recording
from bridge.demo.receiver import Receiver
from bridge.demo.recording import Recording
from bridge.demo.standin.app import StandIn
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Store
from real import grafana
from real.grafana import FILES, GRAFANA, NAMES, Choice, Query, Values
from real.played import HURRY, served
from real.prometheus import Prometheus, Series, needs_prometheus
from real.service import Service
from real.waiting import until

pytestmark = [pytest.mark.real, needs_prometheus, pytest.mark.timeout(180)]

BEFORE = 100.0  # seconds before now that recordings begin: all of them are over, and within the overlap
WINDOW = 30  # seconds: $__rate_interval, many scrapes and all that happens while Prometheus looks
# The stand-in serves only fields that Letta 0.16.8 has, so nothing unknown can be met; a log event is always taken.
NEVER_HERE = {"Fields nobody knows"}
PRICELESS = ('"openai/gpt-4o-mini"', '"acme/own"'), ('"gpt-4o-mini"', '"own"')


@dataclass(frozen=True)
class Scraped:
    """Prometheus with all of it, and the time it took."""

    prometheus: Prometheus
    began: float
    ended: float
    asked_before: dict[tuple[str, str], list[Series]] = field(
        default_factory=dict
    )  # dashboards have panels in common

    @property
    def seconds(self) -> int:
        """The time shown."""
        return math.ceil(self.ended - self.began)

    def rows(self, query: Query, values: Values) -> list[Series]:
        """The rows of a query with at least one number in them."""
        text = query.sent(values, range_seconds=self.seconds, rate_seconds=WINDOW)
        asked = query.kind, text
        if asked not in self.asked_before:
            self.asked_before[asked] = self._instant(text) if query.kind == "instant" else self._range(text)
        return self.asked_before[asked]

    def asked(self, choice: Choice) -> list[str]:
        """The values of a variable when all others are on All."""
        everything = dict.fromkeys(("instance", "agent", "model", "status"))
        text = Query(choice.name, choice.query, "instant").sent(everything, range_seconds=1, rate_seconds=1)
        if found := re.fullmatch(r"label_values\((.+), (\w+)\)", text):
            answer = self.prometheus.get(f"/api/v1/label/{found[2]}/values", **{"match[]": found[1]})
            return choice.values(answer["data"])
        found = re.fullmatch(r"query_result\((.+)\)", text)
        assert found, f"{choice.name}: not a query that Grafana knows: {text}"
        return choice.values([_shown(row) for row in self.prometheus.instant(found[1], time=self.ended)])

    def chosen(self, dashboard: Any) -> dict[str, list[str] | None]:
        """Every value of every variable, each by its name."""
        return {choice.name: self.asked(choice) for choice in grafana.choices(dashboard)}

    def _instant(self, text: str) -> list[Series]:
        rows = self.prometheus.instant(text, time=self.ended)
        return [row for row in rows if math.isfinite(float(row["value"][1]))]

    def _range(self, text: str) -> list[Series]:
        rows = self.prometheus.range(text, self.began, self.ended, 1)
        return [row for row in rows if any(math.isfinite(float(value)) for _, value in row["values"])]


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """All recordings, twice; feedback, a cancel after the end, a model without a price."""
    folder = tmp_path_factory.mktemp("dashboards")
    store = Store(SystemClock())
    began = time.time()
    _play_all(store)
    with served(StandIn(store).app) as letta, served(Receiver().app) as backend:
        service = _bridge(letta, backend, folder)
        service.start()
        try:
            service.wait_live()
            with Prometheus(folder, {"letta-bridge": [service.address]}) as prometheus:
                _wait_for(prometheus, "sum(letta_runs_total)", len(store.rows(Table.RUNS)))
                _play_all(store)
                _wait_for(prometheus, "sum(letta_runs_total)", len(store.rows(Table.RUNS)))
                _cancel_what_was_sent(store)
                _wait_for(prometheus, f"count(increase(letta_late_changes_total[{WINDOW}s] offset 2s))", 1)
                _wait_for(prometheus, "sum(letta_feedback_total)", 1)
                ended = time.time()
                _wait_for(prometheus, "max(timestamp(letta_bridge_lag_seconds))", ended)  # nothing is added before it
                yield Scraped(prometheus, began, ended)
        finally:
            service.close()


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_every_query_has_rows_with_everything_chosen(scraped: Scraped, file: Path) -> None:
    dashboard = grafana.load(file)
    everything = dict.fromkeys(scraped.chosen(dashboard))
    _all_have_rows(scraped, dashboard, everything)


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_every_query_has_rows_with_every_value_chosen_by_itself(scraped: Scraped, file: Path) -> None:
    dashboard = grafana.load(file)
    _all_have_rows(scraped, dashboard, scraped.chosen(dashboard))


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_every_variable_has_values(scraped: Scraped, file: Path) -> None:
    values = scraped.chosen(grafana.load(file))
    assert all(values.values()), values
    if "model" in values:
        assert {"gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash", "own"} == set(values["model"] or ())
        assert {"success", "failed", "cancelled", "abandoned"} == set(values["status"] or ())
        assert len(values["agent"] or ()) == len({recording.load(name).agent.id for name in recording.names()})


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_what_legends_links_and_columns_name_is_in_the_rows(scraped: Scraped, file: Path) -> None:
    dashboard = grafana.load(file)
    everything = dict.fromkeys(scraped.chosen(dashboard))
    missing = {
        query.where: absent
        for query in grafana.queries(dashboard)
        if not _never_here(query) and (absent := _absent_labels(query, scraped.rows(query, everything)))
    }
    assert not missing


@pytest.mark.parametrize("name", ["letta-fleet", "letta-agent", "letta-model", "letta-bridge"])
def test_a_renamed_metric_or_label_would_be_noticed(scraped: Scraped, name: str) -> None:
    dashboard = grafana.load(GRAFANA / f"dashboards/tempo/{name}.json")
    values = scraped.chosen(dashboard)
    overlooked = [
        broken.expr
        for query in grafana.queries(dashboard)
        for broken in _broken(query)
        if all(scraped.rows(part, values) for part in _parts(broken))
    ]
    assert not overlooked


def test_a_model_or_an_agent_narrows_what_is_shown(scraped: Scraped) -> None:
    dashboard = grafana.load(GRAFANA / "dashboards/tempo/letta-model.json")
    spent = next(query for query in grafana.queries(dashboard) if query.where.endswith(": Spent"))
    everything: dict[str, list[str] | None] = dict.fromkeys(scraped.chosen(dashboard))
    total = _only(scraped.rows(spent, everything))
    models = {
        model: _only(scraped.rows(spent, {**everything, "model": [model]}))
        for model in ("gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash", "own")
    }
    assert models["own"] == 0
    assert sum(models.values()) == pytest.approx(total)
    assert min(models["gpt-4o-mini"], models["claude-sonnet-4-5"], models["gemini-2.5-flash"]) > 0
    agents = scraped.chosen(dashboard)["agent"] or []
    assert sum(_only(scraped.rows(spent, {**everything, "agent": [agent]})) for agent in agents) == pytest.approx(
        total
    )


@pytest.mark.parametrize("backend", ["jaeger", "tempo"])
def test_what_leads_from_a_span_to_metrics_has_rows(scraped: Scraped, backend: str) -> None:
    source = _provisioned(backend)[backend]["jsonData"]["tracesToMetrics"]
    assert source["queries"]
    labels = {tag["value"]: ".+" for tag in source["tags"]}
    for query in source["queries"]:
        for label, value in labels.items():
            text = query["query"].replace("$$__tags", f'{label}=~"{value}"')
            one = Query(query["name"], text.replace("$$", "$"), "range")
            assert scraped.rows(one, {}), (query["name"], text)


def test_a_dot_of_a_histogram_names_its_trace_as_the_data_source_expects(scraped: Scraped) -> None:
    (destination,) = _provisioned("tempo")["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    dashboard = grafana.load(GRAFANA / "dashboards/tempo/letta-fleet.json")
    everything = dict.fromkeys(scraped.chosen(dashboard))
    with_dots = {target["expr"] for panel in grafana.panels(dashboard) for target in _with_dots(panel)}
    assert with_dots
    for query in grafana.queries(dashboard):
        if query.expr in with_dots:
            text = query.sent(everything, range_seconds=scraped.seconds, rate_seconds=WINDOW)
            found = scraped.prometheus.exemplars(text, scraped.began - 3600, scraped.ended)
            assert found, text
            ids = [dot["labels"][destination["name"]] for row in found for dot in row["exemplars"]]
            assert all(re.fullmatch("[0-9a-f]{32}", trace_id) for trace_id in ids)


def _bridge(letta: str, backend: str, folder: Path) -> Service:
    sends_to = {**HURRY, "OTEL_EXPORTER_OTLP_ENDPOINT": backend, "BRIDGE_METRICS_AGENTS": "true"}
    sends_to["BRIDGE_TRACE_URL"] = "http://localhost:16686/trace/{trace_id}"
    since = datetime.fromtimestamp(time.time() - BEFORE - 10, UTC)
    return Service("dashboards", letta=letta, since=since, folder=folder, sends_to=sends_to)


def _play_all(store: Store) -> None:
    """Everything at once, over by now; one step of it with feedback."""
    for name in recording.names():
        recording.load(name).play(store, time.time() - BEFORE)
    _without_a_price().play(store, time.time() - BEFORE)
    assert not store.pending()
    store.put(Table.STEPS, store.rows(Table.STEPS)[-1].id, {"feedback": "positive"})


def _without_a_price() -> Recording:
    text = recording.load("text").model_dump_json()
    for before, after in PRICELESS:
        assert before in text
        text = text.replace(before, after)
    return Recording.model_validate_json(text)


def _cancel_what_was_sent(store: Store) -> None:
    run = next(row for row in reversed(store.rows(Table.RUNS)) if row.fields["status"] == "completed")
    store.put(Table.RUNS, run.id, {"status": "cancelled", "stop_reason": "cancelled"})


def _wait_for(prometheus: Prometheus, query: str, least: float) -> None:
    until(lambda: (prometheus.value(query) or 0) >= least, seconds=60, what=f"{query} is {least}")


def _all_have_rows(scraped: Scraped, dashboard: Any, values: Values) -> None:
    empty = [
        (query.where, part.expr)
        for query in grafana.queries(dashboard)
        for part in ([query] if _never_here(query) else _parts(query))
        if not scraped.rows(part, values)
    ]
    assert not empty


def _parts(query: Query) -> Iterator[Query]:
    """The query, what it is without a zero for nothing, and each of its selectors: nothing hides behind an `or`."""
    yield query
    yield query.without_zero()
    for selector in re.findall(r"\w+\{[^{}]*\}", query.expr):
        yield Query(query.where, f"last_over_time({selector}[$__range])", "instant")


def _never_here(query: Query) -> bool:
    return query.where.partition(": ")[2] in NEVER_HERE


def _absent_labels(query: Query, rows: Sequence[Series]) -> set[str]:
    """A label that some rows lack may be empty there; one that no row has is a mistake."""
    return set(query.labels) - {name for row in rows for name in row["metric"]}


def _broken(query: Query) -> Iterator[Query]:
    """The query with each of its metrics renamed, and with each of its matchers on another label."""
    if _never_here(query):
        return
    for metric in set(re.findall(r"\b\w+(?=\{)", query.expr)):
        yield _changed(query, rf"\b{metric}(?=\{{)", f"{metric}_renamed")
    for label in set(re.findall(r"(\w+)=~?\"", query.expr)):
        yield _changed(query, rf"\b{label}(?==~?\")", f"{label}_renamed")


def _changed(query: Query, pattern: str, by: str) -> Query:
    return Query(query.where, re.sub(pattern, by, query.expr), query.kind)


def _shown(row: Series) -> str:
    """A row of an answer as Grafana's query_result() gives it to the regular expression."""
    labels: Mapping[str, str] = row["metric"]
    inner = ",".join(f'{name}="{value}"' for name, value in labels.items() if name != "__name__")
    return f"{labels.get('__name__', '')}{{{inner}}} {row['value'][1]} {float(row['value'][0]) * 1000:.0f}"


def _with_dots(panel: Any) -> list[Any]:
    return [target for target in panel.get("targets", []) if target.get("exemplar")]


def _only(rows: Sequence[Series]) -> float:
    (row,) = rows
    return float(row["value"][1])


def _provisioned(backend: str) -> dict[str, Any]:
    """The data sources of a folder, by type."""
    text = (GRAFANA / "provisioning" / backend / "datasources" / "letta.yaml").read_text(encoding="utf-8")
    return {source["type"]: source for source in yaml.safe_load(text)["datasources"]}
