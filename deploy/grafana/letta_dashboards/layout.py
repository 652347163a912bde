"""Rows of panels become a dashboard: numbered, without gaps, with links to its siblings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard

from letta_dashboards import variables
from letta_dashboards.panels import Panel
from letta_dashboards.traces import Backend

TAG: Final = "letta"


@dataclass(frozen=True)
class Row:
    """Panels under one question."""

    question: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Page:
    """A dashboard before it is laid out; its file is named after its uid."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    of_steps: bool = True


def laid_out(page: Page, backend: Backend) -> dashboard.Dashboard:
    """The dashboard as Grafana reads it."""
    builder = builders.Dashboard(page.title).uid(page.uid).description(page.description).tags([TAG])
    builder = builder.time("now-6h", "now").refresh("1m").timezone("browser").editable()
    builder = builder.tooltip(dashboard.DashboardCursorSync.CROSSHAIR).link(_siblings())
    choices = [*variables.sources(backend), variables.bridge(), *(variables.of_steps() if page.of_steps else ())]
    builder = builder.variables(choices).annotations(list(variables.failures()) if page.of_steps else [])
    for row in page.rows:
        builder = builder.with_row(builders.Row(row.question))
        for panel in row.panels:
            builder = builder.with_panel(panel)
    built = builder.build()
    for number, drawn in enumerate(built.panels or [], start=1):
        drawn.id_val = number
    return built


def _siblings() -> builders.DashboardLink:
    link = builders.DashboardLink("Letta").type(dashboard.DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(as_dropdown=True).include_vars(include_vars=True).keep_time(keep_time=True)
