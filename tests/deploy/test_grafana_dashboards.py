"""The committed dashboards and data sources: as the code makes them, as Grafana reads them, of names that exist."""

from __future__ import annotations

import functools
import importlib
import itertools
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from prometheus_client.parser import text_string_to_metric_families
from real import grafana
from real.grafana import FILES, GRAFANA, NAMES, Query

from bridge.exposition import render
from bridge.map import genai, letta
from bridge.map.instruments import CATALOGUE, Kind
from bridge.observe import SelfMetrics

GOLDEN = Path(__file__).parents[1] / "golden"
UIDS = ["letta-agent", "letta-bridge", "letta-fleet", "letta-model"]
BACKENDS = ["jaeger", "tempo"]
OF_PROMETHEUS = {"instance", "job", "le"}
NEW_NAMES = "letta_bridge_schema_unknown_fields_total"  # one for each name: how many, not how fast
MACROS = re.compile(r"\$\{[^}]+\}")

each_dashboard = pytest.mark.parametrize("file", FILES, ids=NAMES)
each_backend = pytest.mark.parametrize("backend", BACKENDS)


def test_there_are_four_for_each_backend() -> None:
    assert [f"{backend}/{uid}" for backend in BACKENDS for uid in UIDS] == NAMES


def test_the_code_gives_the_same_bytes_again(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "letta_dashboards", str(tmp_path)]
    subprocess.run(command, env={"PYTHONPATH": str(GRAFANA)}, check=True, timeout=50)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.glob("*/*")) == [
        file.relative_to(GRAFANA / "dashboards") for file in FILES
    ]
    for file in FILES:
        assert (tmp_path / file.parent.name / file.name).read_bytes() == file.read_bytes(), "run `just dashboards`"


@each_dashboard
@pytest.mark.filterwarnings(
    "ignore:Prefer using dashboardv2:DeprecationWarning"
)  # which only Grafana 12 and later read
def test_grafanas_own_model_reads_it_and_loses_nothing(file: Path) -> None:
    model = importlib.import_module("grafana_foundation_sdk.models.dashboard")
    dashboard = grafana.load(file)
    again = json.dumps(model.Dashboard.from_json(dashboard), cls=JSONEncoder, sort_keys=True)
    assert json.loads(again.replace('"placement": "inControlsMenu", ', "")) == dashboard


@each_dashboard
def test_it_is_known_by_its_files_name_and_its_panels_by_their_numbers(file: Path) -> None:
    dashboard = grafana.load(file)
    assert dashboard["uid"] == file.stem
    assert len(dashboard["uid"]) <= 40
    assert "id" not in dashboard
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert ids == list(range(1, len(ids) + 1))
    titles = Counter(panel["title"] for panel in dashboard["panels"])
    assert not [title for title, times in titles.items() if times > 1]


@each_dashboard
def test_panels_fill_the_grid_and_none_lies_on_another(file: Path) -> None:
    cells: Counter[tuple[int, int]] = Counter()
    for panel in grafana.load(file)["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, panel["title"]
        cells.update((x, y) for x in range(place["x"], place["x"] + place["w"]) for y in _lines(place))
    assert max(cells.values()) == 1
    for y in range(max(y for _, y in cells) + 1):
        assert sum(row == y for _, row in cells) == 24, f"a gap in line {y}"


@each_dashboard
def test_every_row_has_panels_and_is_open(file: Path) -> None:
    kinds = [panel["type"] for panel in grafana.load(file)["panels"]]
    assert kinds[0] == "row"
    assert ("row", "row") not in itertools.pairwise(kinds)
    assert kinds[-1] != "row"


@each_dashboard
def test_every_panel_says_what_it_shows_and_what_to_do(file: Path) -> None:
    for panel in grafana.panels(grafana.load(file)):
        assert len(panel["description"]) > 40, panel["title"]
        if panel["type"] != "text":
            assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]


@each_dashboard
def test_every_number_has_a_unit_and_every_query_a_source_that_can_be_chosen(file: Path) -> None:
    dashboard = grafana.load(file)
    for panel in grafana.panels(dashboard):
        if panel["type"] in {"stat", "timeseries"}:
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] in {"${prometheus}", "${traces}"}, panel["title"]
        refs = [target["refId"] for target in panel.get("targets", [])]
        assert len(refs) == len(set(refs)), panel["title"]
        assert bool(refs) == (panel["type"] != "text"), panel["title"]


@each_dashboard
def test_every_variable_that_is_used_is_there(file: Path) -> None:
    dashboard = grafana.load(file)
    known = {variable["name"] for variable in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard["panels"])))
    assert {name for name in used if not name.startswith("__")} <= known
    assert known >= {"prometheus", "traces", "instance"}
    if file.stem != "letta-bridge":
        several = {v["name"] for v in dashboard["templating"]["list"] if v.get("multi") and v.get("includeAll")}
        assert several >= {"agent", "model", "status"}


@each_dashboard
def test_every_panel_leads_to_the_spans_behind_it(file: Path) -> None:
    for panel in grafana.panels(grafana.load(file)):
        if panel["type"] == "text":
            continue
        assert grafana.links(panel), panel["title"]
        for link in grafana.links(panel):
            asked = parse_qs(urlsplit(link["url"]).query)
            (pane,) = json.loads(asked["panes"][0]).values()
            assert (asked["schemaVersion"], pane["datasource"]) == (["1"], "${traces}")
            assert pane["range"] == {"from": "${__from}", "to": "${__to}"}
            assert re.fullmatch(r"/explore\?[^\s\"'#]+", link["url"]), "nothing in it ends an address early"
            query = grafana.explored(link)
            assert query["datasource"] == {"type": file.parent.name, "uid": "${traces}"}
            assert any(_attributes(query) <= attributes for attributes in _spans()), link["title"]


@each_dashboard
def test_what_a_link_takes_from_the_click_is_asked_for_by_the_panel(file: Path) -> None:
    for panel in grafana.panels(grafana.load(file)):
        text = " ".join(link["url"] for link in grafana.links(panel))
        asked = " ".join(target.get("expr", "") for target in panel.get("targets", []))
        grouped = " ".join(re.findall(r"by \(([^)]*)\)", asked))
        for name in re.findall(r"\$\{__(?:field\.labels|data\.fields)\.(\w+)", text):
            assert re.search(rf"\b{name}\b", grouped), f"{panel['title']}: {name}"


@each_dashboard
def test_every_metric_and_label_exists(file: Path) -> None:
    metrics, labels = _exposed()
    for query in grafana.queries(grafana.load(file)):
        assert _metrics_of(query) <= metrics, query.where
        assert _labels_of(query) <= labels, query.where


@each_dashboard
def test_counters_are_read_over_a_time_that_fits_the_zoom(file: Path) -> None:
    for query in grafana.queries(grafana.load(file)):
        windows = set(re.findall(r"\[([^\]]+)\]", query.expr))
        assert windows <= ({"$__range"} if query.kind == "instant" else {"$__rate_interval"}), query.where
        counters = set(re.findall(r"(\w+_(?:total|bucket|sum|count))\{[^}]*\}(?!\[)", query.without_zero().expr))
        if counters - {NEW_NAMES}:
            assert "group by" in query.expr, f"{query.where}: a counter is shown as it stands"


@each_dashboard
def test_every_quantile_has_dots_that_lead_to_a_trace(file: Path) -> None:
    for panel in grafana.panels(grafana.load(file)):
        targets = panel.get("targets", [])
        if any(
            "histogram_quantile" in target.get("expr", "") and "letta_bridge_" not in target["expr"]
            for target in targets
        ):
            assert any(target.get("exemplar") for target in targets) or "context_window" in targets[0]["expr"]


@each_backend
def test_the_provider_reads_the_folder_that_is_mounted(backend: str) -> None:
    (provider,) = _provisioned(backend, "dashboards")["providers"]
    mounted = Path(provider["options"]["path"])
    assert mounted == Path("/etc/letta-grafana/dashboards") / backend
    assert (GRAFANA / "dashboards" / backend).is_dir()
    assert provider["type"] == "file"
    guide = (GRAFANA.parents[1] / "docs" / "dashboards.md").read_text(encoding="utf-8")
    assert "deploy/grafana:/etc/letta-grafana" in guide
    assert f"/etc/letta-grafana/provisioning/{backend}" in guide


@each_backend
def test_the_data_sources_know_each_other(backend: str) -> None:
    sources = {source["uid"]: source for source in _provisioned(backend, "datasources")["datasources"]}
    assert set(sources) == {"letta-prometheus", f"letta-{backend}"}
    assert {source["type"] for source in sources.values()} == {"prometheus", backend}
    assert sum(bool(source.get("isDefault")) for source in sources.values()) == 1
    named = set(re.findall(r"'datasourceUid': '([^']+)'", str(sources)))
    assert named == set(sources), "dots lead to traces, spans to metrics"
    metrics, labels = _exposed()
    to_metrics = sources[f"letta-{backend}"]["jsonData"]["tracesToMetrics"]
    for query in to_metrics["queries"]:
        plain = Query(query["name"], query["query"].replace("$$__tags", 'instance="x"'), "range")
        assert _metrics_of(plain) <= metrics
        assert _labels_of(plain) <= labels
    assert any({tag["key"] for tag in to_metrics["tags"]} <= attributes for attributes in _spans())
    assert {tag["value"] for tag in to_metrics["tags"]} <= labels


@each_backend
def test_the_interval_is_the_one_prometheus_is_set_to(backend: str) -> None:
    prometheus = yaml.safe_load((GRAFANA.parent / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    (source,) = [s for s in _provisioned(backend, "datasources")["datasources"] if s["type"] == "prometheus"]
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def test_the_guide_names_every_dashboard() -> None:
    guide = (GRAFANA.parents[1] / "docs" / "dashboards.md").read_text(encoding="utf-8")
    for file in FILES:
        assert grafana.load(file)["title"].partition(": ")[2] in guide
        assert file.name in guide


def _lines(place: Any) -> range:
    return range(place["y"], place["y"] + place["h"])


def _provisioned(backend: str, kind: str) -> Any:
    return yaml.safe_load((GRAFANA / "provisioning" / backend / kind / "letta.yaml").read_text(encoding="utf-8"))


def _attributes(query: dict[str, Any]) -> set[str]:
    """The attributes that a search names, in TraceQL or as Jaeger's tags."""
    named = re.findall(r"span\.([\w.]+) =", MACROS.sub("x", str(query.get("query", ""))))
    tags = [tag.partition("=")[0] for tag in MACROS.sub("x", str(query.get("tags", ""))).split()]
    return {*named, *tags} - {"error"}  # Jaeger's own tag for a span in ERROR


@functools.cache
def _spans() -> set[frozenset[str]]:
    """The attributes of every span that the mapping is known to make: a search wants them all on one."""
    return {
        frozenset(span["attributes"])
        for file in GOLDEN.glob("*/expected.json")
        for span in json.loads(file.read_text(encoding="utf-8"))["spans"]
    }


def _metrics_of(query: Query) -> set[str]:
    return set(re.findall(r"\b(\w+)\{", query.expr)) - {"up"}


def _labels_of(query: Query) -> set[str]:
    matched = re.findall(r"(\w+)(?:=|!=|=~|!~)\"", query.expr)
    grouped = [name for names in re.findall(r"(?:by|on) \(([^)]*)\)", query.expr) for name in names.split(", ")]
    return {*matched, *grouped, *query.labels}


def _exposed() -> tuple[set[str], set[str]]:
    """The names on the bridge's /metrics page; labels are its attributes by the rules of that page."""
    page, _ = render([_catalogue(), _own()])
    samples = [sample for family in text_string_to_metric_families(page.decode()) for sample in family.samples]
    labels = {name for sample in samples for name in sample.labels}
    return {sample.name for sample in samples}, labels | set(_as_labels()) | OF_PROMETHEUS


def _as_labels() -> Iterator[str]:
    for name, value in (item for module in (genai, letta) for item in vars(module).items()):
        if name.isupper() and isinstance(value, str):
            yield value.replace(".", "_")
    yield from ("trace_id", "letta_trace_url")  # of the newest failures


def _catalogue() -> ExportMetricsServiceRequest:
    """A point of every instrument."""
    message = ExportMetricsServiceRequest()
    scope = message.resource_metrics.add().scope_metrics.add()
    for instrument in CATALOGUE.values():
        metric = scope.metrics.add(name=instrument.name, unit=instrument.unit)
        if instrument.kind is Kind.HISTOGRAM:
            metric.histogram.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
            counts = [0] * (len(instrument.bounds) + 1)
            metric.histogram.data_points.add(explicit_bounds=instrument.bounds, bucket_counts=counts)
        elif instrument.kind is Kind.COUNTER:
            metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
            metric.sum.is_monotonic = True
            metric.sum.data_points.add(as_double=1)
        else:
            metric.gauge.data_points.add(as_double=1)
    return message


def _own() -> ExportMetricsServiceRequest:
    """The bridge's own metrics, each with a point."""
    own = SelfMetrics()
    own.request("/v1/runs/", "200")
    own.sweep(1)
    own.lag(1)
    own.dead_letters(1)
    own.ledger_size(1)
    own.unknown_fields(["new"])
    return own.message()
