"""Links and panels that show the spans behind a number, in Tempo (TraceQL) or in Jaeger (search by tags).

A link is Grafana's Explore with the query in its address. Values of the clicked series and of the dashboard's
variables are filled in by Grafana; all else is percent-encoded here. Jaeger finds exact values only, so a variable
that lets several through does not narrow its searches: `matching` is for Tempo alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import quote

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

SOURCE: Final = "${traces}"
MACRO: Final = re.compile(r"(\$\{[^}]+\})")

Query = Mapping[str, object]


@dataclass(frozen=True)
class Search:
    """Spans to look for; all of it has to hold.

    Attributes:
        title: of the link.
        where: attribute → value.
        matching: attribute → regular expression.
        errors: only spans whose status is ERROR.
    """

    title: str
    where: Mapping[str, str] = field(default_factory=dict)
    matching: Mapping[str, str] = field(default_factory=dict)
    errors: bool = False


def label(name: str) -> str:
    """The label of the series that is clicked, for a link."""
    return f"${{__field.labels.{name}:percentencode}}"


def column(name: str) -> str:
    """The column of the row that is clicked, for a link in a table."""
    return f"${{__data.fields.{name}:percentencode}}"


class Backend(Protocol):
    """Where traces are kept."""

    @property
    def plugin(self) -> str:
        """Grafana's name for it; the name of the folder too."""
        ...

    @property
    def name(self) -> str:
        """For people."""
        ...

    @property
    def needs_service(self) -> bool:
        """Whether a search has to name a service."""
        ...

    def search(self, search: Search) -> Query:
        """The query of a panel or of Explore."""
        ...

    def trace(self, trace_id: str) -> Query:
        """The query for one trace."""
        ...


class Tempo:
    """TraceQL."""

    plugin = "tempo"
    name = "Tempo"
    needs_service = False

    def search(self, search: Search) -> Query:
        """Spans, by a spanset filter."""
        conditions = [f'span.{name} = "{value}"' for name, value in search.where.items()]
        conditions += [f'span.{name} =~ "{value}"' for name, value in search.matching.items()]
        conditions += ["status = error"] if search.errors else []
        query = f"{{ {' && '.join(conditions)} }}" if conditions else "{}"
        return {"queryType": "traceql", "query": query, "tableType": "traces", "limit": 50}

    def trace(self, trace_id: str) -> Query:
        """A trace id is a query of its own."""
        return {"queryType": "traceql", "query": trace_id}


class Jaeger:
    """Search by service and tags."""

    plugin = "jaeger"
    name = "Jaeger"
    needs_service = True

    def search(self, search: Search) -> Query:
        """Traces that hold such a span; tags in logfmt."""
        tags = [f"{name}={value}" for name, value in search.where.items()]
        tags += ["error=true"] if search.errors else []
        return {"queryType": "search", "service": "${service}", "tags": " ".join(tags), "limit": 50}

    def trace(self, trace_id: str) -> Query:
        """No query type is a trace id."""
        return {"query": trace_id}


BACKENDS: Final[tuple[Backend, ...]] = (Tempo(), Jaeger())


def link(backend: Backend, search: Search) -> builders.DashboardLink:
    """A data link to the spans of a search, over the time that the dashboard shows."""
    return _link(f"{search.title} in {backend.name}", backend, backend.search(search))


def trace_link(backend: Backend, trace_id: str) -> builders.DashboardLink:
    """A data link to one trace."""
    return _link(f"The trace in {backend.name}", backend, backend.trace(trace_id))


def target(backend: Backend, query: Query) -> dict[str, object]:
    """A query with its data source, as panels and Explore have it."""
    return {"refId": "A", "datasource": {"type": backend.plugin, "uid": SOURCE}, **query}


def _link(title: str, backend: Backend, query: Query) -> builders.DashboardLink:
    pane = {
        "datasource": SOURCE,
        "queries": [target(backend, query)],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    panes = _encoded(json.dumps({"letta": pane}, separators=(",", ":")))
    address = f"/explore?schemaVersion=1&orgId=${{__org.id}}&panes={panes}"
    return (
        builders.DashboardLink(title).type(models.DashboardLinkType.LINK).url(address).target_blank(target_blank=True)
    )


def _encoded(text: str) -> str:
    """Percent-encoded, but for what Grafana fills in."""
    parts = MACRO.split(text)
    return "".join(part if MACRO.fullmatch(part) else quote(part, safe="") for part in parts)
