"""Panels with the manners that all of them share: a description, a unit, a text for no data, links to the traces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import text as text_panel
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

from letta_dashboards.traces import Backend, Query, target

Panel = Builder[dashboard.Panel]
Link = builders.DashboardLink
Levels = Sequence[tuple[float | None, str]]

PROMETHEUS: Final = common.DataSourceRef(type_val="prometheus", uid="${prometheus}")
CALM: Final[Levels] = ((None, "text"),)
ANY_IS_BAD: Final[Levels] = ((None, "green"), (1, "red"))
# A point covers at least this long: shorter ones would make bars of a few steps an hour jump about.
_LEAST_WINDOW: Final = "1m"


@dataclass(frozen=True)
class Series:
    """A query and the name of what it gives; `exemplars` for histograms: their dots lead to one trace each."""

    expr: str
    legend: str = ""
    exemplars: bool = False


@dataclass(frozen=True)
class Words:
    """What a panel says: `about` tells what it shows and what to do, `nothing` stands where there is no data."""

    title: str
    about: str
    nothing: str = "No data: nothing happened in this time"


def number(
    words: Words,
    expr: str,
    links: Sequence[Link],
    *,
    unit: str = "short",
    decimals: int = 0,
    levels: Levels = CALM,
    width: int = 4,
    height: int = 4,
) -> Panel:
    """One number, over the whole time that the dashboard shows."""
    query = prometheus.Dataquery().ref_id("A").datasource(PROMETHEUS).expr(expr).instant()
    panel = (
        stat.Panel().title(words.title).description(words.about).no_value(words.nothing).span(width).height(height)
    )
    panel = panel.datasource(PROMETHEUS).with_target(query).unit(unit).decimals(decimals).thresholds(_levels(levels))
    panel = panel.color_mode(common.BigValueColorMode.VALUE).graph_mode(common.BigValueGraphMode.NONE)
    reduced = common_builders.ReduceDataOptions().calcs(["lastNotNull"])
    return panel.reduce_options(reduced).data_links(list(links))


def bars(
    words: Words, series: Sequence[Series], links: Sequence[Link], *, unit: str = "short", width: int = 12
) -> Panel:
    """Counts over time, stacked; the legend has their sum."""
    panel = _over_time(words, series, links, unit=unit, width=width, sums=["sum"])
    panel = panel.draw_style(common.GraphDrawStyle.BARS).fill_opacity(70).line_width(1).decimals(0)
    return panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL)).min(0)


def lines(
    words: Words,
    series: Sequence[Series],
    links: Sequence[Link],
    *,
    unit: str = "short",
    width: int = 12,
    levels: Levels = CALM,
    ceiling: float | None = None,
) -> Panel:
    """Values over time; a dashed line stands where a threshold is."""
    panel = _over_time(words, series, links, unit=unit, width=width, sums=["lastNotNull", "max"]).min(0)
    panel = panel.draw_style(common.GraphDrawStyle.LINE).fill_opacity(8).show_points(common.VisibilityMode.AUTO)
    if ceiling is not None:
        panel = panel.max(ceiling)
    if levels is not CALM:
        style = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        panel = panel.thresholds(_levels(levels)).thresholds_style(style)
    return panel


@dataclass(frozen=True)
class Column:
    """A column of a table: the field it shows, its heading, its unit and width in pixels."""

    field: str
    heading: str
    unit: str | None = None
    width: int | None = None


def rows(
    words: Words,
    expr: str,
    columns: Sequence[Column],
    links: Sequence[Link],
    *,
    width: int = 24,
    height: int = 8,
    descending: str = "Value",
) -> Panel:
    """A table of what a query gives now, one row a series: its labels and its Value, in the order of the columns."""
    query = prometheus.Dataquery().ref_id("A").datasource(PROMETHEUS).expr(expr).instant()
    panel = table.Panel().title(words.title).description(words.about).no_value(words.nothing).span(width)
    panel = panel.height(height).datasource(PROMETHEUS).with_target(query.format(PromQueryFormat.TABLE))
    panel = panel.filterable(filterable=True).data_links(list(links)).with_transformation(_in_order(columns))
    heading = next(column.heading for column in columns if column.field == descending)
    panel = panel.sort_by([common_builders.TableSortByFieldState().display_name(heading).desc(desc=True)])
    for column in columns:
        panel = panel.override_by_name(column.field, _properties(column))
    return panel


def traces(words: Words, backend: Backend, query: Query, links: Sequence[Link], *, width: int = 24) -> Panel:
    """A table of traces, straight from where they are kept."""
    source = common.DataSourceRef(type_val=backend.plugin, uid="${traces}")
    panel = table.Panel().title(words.title).description(words.about).no_value(words.nothing)
    panel = panel.span(width).height(9).datasource(source).data_links(list(links))
    return panel.with_target(_Raw(UnknownDataquery(target(backend, query))))


def note(title: str, about: str, text: str, *, height: int = 3) -> Panel:
    """Text for the reader."""
    panel = text_panel.Panel().title(title).description(about).mode(TextMode.MARKDOWN).content(text)
    return panel.span(24).height(height).transparent(transparent=True)


class _Raw(Builder[UnknownDataquery]):
    """A query of a data source that the package has no builder for."""

    def __init__(self, query: UnknownDataquery) -> None:
        self._query = query

    def build(self) -> UnknownDataquery:
        return self._query


def _over_time(
    words: Words, series: Sequence[Series], links: Sequence[Link], *, unit: str, width: int, sums: list[str]
) -> timeseries.Panel:
    legend = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.TABLE)
    legend = legend.show_legend(show_legend=True).placement(common.LegendPlacement.BOTTOM).calcs(sums)
    tooltip = common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)
    tooltip = tooltip.sort(common.SortOrder.DESCENDING)
    panel = timeseries.Panel().title(words.title).description(words.about).no_value(words.nothing).span(width)
    panel = panel.height(8).datasource(PROMETHEUS).unit(unit).interval(_LEAST_WINDOW).legend(legend).tooltip(tooltip)
    for letter, one in zip("ABCDEFGH", series, strict=False):
        query = prometheus.Dataquery().ref_id(letter).datasource(PROMETHEUS).expr(one.expr).range()
        panel = panel.with_target(query.legend_format(one.legend).exemplar(one.exemplars))
    return panel.data_links(list(links))


def _levels(levels: Levels) -> builders.ThresholdsConfig:
    steps = [dashboard.Threshold(value=value, color=color) for value, color in levels]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _in_order(columns: Sequence[Column]) -> dashboard.DataTransformerConfig:
    """Grafana's own transformation that puts columns in order; the time of the query says nothing in a table."""
    order = {column.field: place for place, column in enumerate(columns)}
    return dashboard.DataTransformerConfig(
        id_val="organize", options={"excludeByName": {"Time": True}, "indexByName": order, "renameByName": {}}
    )


def _properties(column: Column) -> list[dashboard.DynamicConfigValue]:
    found: dict[str, object | None] = {
        "displayName": column.heading,
        "unit": column.unit,
        "custom.width": column.width,
    }
    return [dashboard.DynamicConfigValue(name, value) for name, value in found.items() if value is not None]
