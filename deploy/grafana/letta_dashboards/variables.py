"""What a person chooses at the top of a dashboard, and the marks of failures in its graphs."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from letta_dashboards import metrics
from letta_dashboards.panels import PROMETHEUS
from letta_dashboards.traces import Backend

Variable = Builder[dashboard.VariableModel]

_ALL: Final = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
_AGENTS: Final = (
    f"{metrics.STEPS}{{{metrics.BRIDGE}, {metrics.OF_AN_AGENT}}}"
    f" or {metrics.STEP_LAST_FAILURE}{{{metrics.BRIDGE}, {metrics.OF_AN_AGENT}}}"
)


def sources(backend: Backend) -> list[Variable]:
    """Where metrics and traces come from, for those who have several of a kind."""
    found: list[Variable] = [
        builders.DatasourceVariable("prometheus").label("Metrics").type("prometheus"),
        builders.DatasourceVariable("traces").label("Traces").type(backend.plugin),
    ]
    if backend.needs_service:
        service = _chosen("service", "Service", "label_values(target_info, service_name)")
        found.append(service.description("The service.name of the traces; Jaeger searches within one"))
    return found


def bridge() -> Variable:
    """Which bridge, where there are several."""
    return _several("instance", "Bridge", f"label_values({metrics.LAG}, instance)")


def of_steps() -> list[Variable]:
    """Whose steps, of which model, with which end."""
    agents = _several("agent", "Agent", f"query_result(group by (gen_ai_agent_id, gen_ai_agent_name) ({_AGENTS}))")
    models = _several("model", "Model", f"label_values({metrics.STEPS}{{{metrics.BRIDGE}}}, letta_model_handle)")
    statuses = _several("status", "Status", f"label_values({metrics.STEPS}{{{metrics.BRIDGE}}}, letta_step_status)")
    return [
        # Names are not unique and may hold anything: people see the name, queries and links use the id.
        agents.regex('/gen_ai_agent_id="(?<value>[^"]+)"(?:,gen_ai_agent_name="(?<text>[^"]+)")?/').description(
            "Those that failed, and with BRIDGE_METRICS_AGENTS=true all; an agent's id can be typed in"
        ),
        models.regex("/^(?<text>(?:[^\\/]+\\/)?(?<value>.+))$/").description("Handle of the model"),
        statuses.description("How a step ended"),
    ]


def failures() -> list[builders.AnnotationQuery]:
    """A mark at the moment at which a step or a run was seen that went wrong; it names the run."""
    scope = metrics.Scope()
    return [
        _mark(
            "Steps that went wrong",
            scope.of(metrics.STEP_LAST_FAILURE),
            "Step {{letta_step_status}}: {{error_type}}",
            "{{gen_ai_agent_name}} · {{letta_model_handle}} · {{letta_run_id}} · trace {{trace_id}}",
        ),
        _mark(
            "Runs that went wrong",
            scope.of(metrics.RUN_LAST_FAILURE),
            "Run {{letta_run_status}}: {{error_type}}",
            "{{gen_ai_agent_name}} · {{letta_run_id}} · trace {{trace_id}}",
        ),
    ]


def _chosen(name: str, label: str, query: str) -> builders.QueryVariable:
    variable = builders.QueryVariable(name).label(label).datasource(PROMETHEUS)
    variable = variable.query({"query": query, "refId": f"{name}-values"}).definition(query)
    variable = variable.refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    return variable.sort(dashboard.VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)


def _several(name: str, label: str, query: str) -> builders.QueryVariable:
    variable = _chosen(name, label, query).multi(multi=True).include_all(include_all=True)
    return variable.all_value(".*").current(_ALL)


def _mark(name: str, selector: str, title: str, text: str) -> builders.AnnotationQuery:
    mark = builders.AnnotationQuery().name(name).datasource(PROMETHEUS).enable(enable=True).icon_color("red")
    mark = mark.expr(f"{selector} * 1000").use_value_for_time(use_value_for_time=True)
    return mark.title_format(title).text_format(text).tag_keys("error_type")
