"""What a good user would write in an afternoon: letta-client, the OpenTelemetry SDK, the official OTLP exporter.

The same spans with the same attributes as the bridge's, and the same metrics but for cost. It pages as few times as
possible, asks for each agent's name once, makes its attributes in one go, and lets BatchSpanProcessor export in the
background. It remembers nothing, so a crash loses or doubles; it waits for nothing that is late; it reads what there
is once, and ends.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from letta_client import Letta
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, set_span_in_context

from benchmarks.contestants.measure import arguments, measured

_PAGE = 1000
_QUEUE = 1 << 20  # spans; a script that drops some when the receiver is slow would not be the same output
_PORTS = {"http": 80, "https": 443}
_DEFAULT_LENGTH = 3_999_000_000


def pages(fetch: Callable[..., Any], *, cursor: str = "after", **query: Any) -> Iterator[Any]:
    """Everything a list has, in the fewest requests: a short page is the last one."""
    at: dict[str, str] = {}
    while True:
        items = fetch(limit=_PAGE, **query, **at).items
        yield from items
        if len(items) < _PAGE:
            return
        at = {cursor: items[-1].id}


class Script:
    """Reads runs and makes spans and metrics of them."""

    def __init__(self, task: argparse.Namespace) -> None:
        resource = Resource.create({"service.name": "letta"})
        self._durations = task.durations
        self._letta = Letta(base_url=task.letta, api_key="none")
        self._tracing = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{task.otlp}/v1/traces")
        self._tracing.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_QUEUE))
        self._tracer = self._tracing.get_tracer("naive")
        metrics = OTLPMetricExporter(endpoint=f"{task.otlp}/v1/metrics")
        self._metering = MeterProvider([PeriodicExportingMetricReader(metrics)], resource=resource)
        meter = self._metering.get_meter("naive")
        self._token_usage = meter.create_histogram("gen_ai.client.token.usage", "{token}")
        self._request_duration = meter.create_histogram("gen_ai.client.operation.duration", "s")
        self._steps = meter.create_counter("letta.steps", "{step}")
        self._tokens = meter.create_counter("letta.tokens", "{token}")
        self._step_duration = meter.create_histogram("letta.step.duration", "s")
        self._tool_duration = meter.create_histogram("letta.tool.duration", "s")
        self._tool_calls = meter.create_counter("letta.tool.calls", "{call}")
        self._runs = meter.create_counter("letta.runs", "{run}")
        self._run_duration = meter.create_histogram("letta.run.duration", "s")
        self._window_ratio = meter.create_histogram("letta.context_window.used_ratio", "1")
        self._name = cache(lambda agent_id: self._letta.agents.retrieve(agent_id).name)

    def run(self) -> None:
        """Everything, once."""
        # `before` walks on here: the cursors of this list are swapped on a real server (0.16.8).
        for run in pages(self._letta.runs.list, cursor="before", order="desc"):
            steps = list(pages(self._letta.runs.steps.list, run_id=run.id, order="asc"))
            messages = list(pages(self._letta.runs.messages.list, run_id=run.id, order="asc"))
            self._send(run, steps, messages)
        self._tracing.shutdown()
        self._metering.shutdown()

    def _send(self, run: Any, steps: Sequence[Any], messages: Sequence[Any]) -> None:
        start, end = _ns(run.created_at), _ns(run.completed_at)
        agent = {"gen_ai.agent.id": run.agent_id, "gen_ai.agent.name": self._name(run.agent_id)}
        attributes = {
            **agent,
            "gen_ai.operation.name": "invoke_agent",
            "letta.run.id": run.id,
            "letta.run.status": run.status,
            "letta.run.stop_reason": run.stop_reason,
            "letta.run.background": run.background,
            "letta.run.total_duration_ns": run.total_duration_ns,
            "letta.timing": "measured",
            "letta.run.steps": len(steps),
            "letta.run.failed_steps": sum(step.status == "failed" for step in steps),
            "letta.run.input_tokens": sum(step.prompt_tokens or 0 for step in steps),
            "letta.run.output_tokens": sum(step.completion_tokens or 0 for step in steps),
            "letta.run.total_tokens": sum(step.total_tokens or 0 for step in steps),
            "letta.run.cache_read_tokens": sum(step.cached_input_tokens or 0 for step in steps),
            "letta.run.cache_write_tokens": sum(step.cache_write_tokens or 0 for step in steps),
            "letta.run.reasoning_tokens": sum(step.reasoning_tokens or 0 for step in steps),
            "letta.run.metadata.run_type": (run.metadata or {}).get("run_type"),
        }
        name = f"invoke_agent {agent['gen_ai.agent.name']}"
        span = self._tracer.start_span(name, context=Context(), attributes=_present(attributes), start_time=start)
        within = set_span_in_context(span, Context())
        calls = _calls(messages)
        for step in steps:
            start = self._send_step(step, calls.get(step.id, ()), agent, within, start)
        span.end(max(start, end))
        self._runs.add(1, {"letta.run.status": run.status, "letta.run.stop_reason": run.stop_reason})
        if run.total_duration_ns is not None:
            self._run_duration.record(run.total_duration_ns / 1e9, {"letta.run.status": run.status})

    def _send_step(self, step: Any, calls: Sequence[Any], agent: dict[str, Any], within: Context, start: int) -> int:
        lengths = self._letta.steps.metrics.retrieve(step.id) if self._durations else None
        timing = "reconstructed" if lengths else "estimated"
        end = start + ((lengths and lengths.step_ns) or _DEFAULT_LENGTH)
        asked = start + ((lengths and lengths.llm_request_ns) or 0)
        common = {"letta.step.id": step.id, "letta.run.id": step.run_id, "letta.step.status": step.status, **agent}
        common["letta.timing"] = timing
        span = self._tracer.start_span(
            "agent_step",
            context=within,
            attributes=_present(
                {
                    **common,
                    "letta.model.handle": step.api_model_handle,
                    "letta.step.stop_reason": step.stop_reason,
                    "letta.step.tags": step.tags or None,
                    "letta.step.origin": step.origin,
                    "letta.provider.category": step.provider_category,
                    "letta.provider.id": step.provider_id,
                    "letta.project.id": step.project_id,
                    "letta.transaction.id": step.tid,
                    "letta.request.id": step.request_id,
                    "error.type": step.error_type,
                }
            ),
            start_time=start,
        )
        in_step = set_span_in_context(span, within)
        self._send_chat(step, common, in_step, start, asked)
        for call in calls:
            self._send_tool(call, common, in_step, asked, asked + ((lengths and lengths.tool_execution_ns) or 0))
        span.end(end)
        self._measure(step, lengths, calls)
        return end

    def _send_chat(self, step: Any, common: dict[str, Any], within: Context, start: int, end: int) -> None:
        host, port = _server(step.api_model_endpoint)
        read, write = step.prompt_tokens_details or {}, step.prompt_tokens_details or {}
        ratio = step.prompt_tokens / step.context_window_limit if step.context_window_limit else None
        self._tracer.start_span(
            f"chat {step.model}",
            context=within,
            kind=SpanKind.CLIENT,
            attributes=_present(
                {
                    **common,
                    "letta.model.handle": step.api_model_handle,
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": step.provider_name,
                    "peer.service": step.provider_name,
                    "letta.provider.name": step.provider_name,
                    "gen_ai.request.model": step.model,
                    "gen_ai.response.finish_reasons": [step.stop_reason] if step.stop_reason else None,
                    "server.address": host,
                    "server.port": port,
                    "gen_ai.usage.input_tokens": step.prompt_tokens,
                    "gen_ai.usage.output_tokens": step.completion_tokens,
                    "gen_ai.usage.cache_read.input_tokens": _first(
                        step.cached_input_tokens, read.get("cache_read_tokens")
                    ),
                    "gen_ai.usage.cache_creation.input_tokens": _first(
                        step.cache_write_tokens, write.get("cache_creation_tokens")
                    ),
                    "gen_ai.usage.reasoning.output_tokens": step.reasoning_tokens,
                    "letta.usage.total_tokens": step.total_tokens,
                    "letta.context_window.limit": step.context_window_limit,
                    "letta.context_window.used_ratio": ratio,
                    "error.type": step.error_type,
                }
            ),
            start_time=start,
        ).end(end)

    def _send_tool(self, call: Any, common: dict[str, Any], within: Context, start: int, end: int) -> None:
        attributes = {
            **common,
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": call.tool_call_id,
            "letta.tool.status": call.status,
        }
        name = f"execute_tool {call.name}"
        self._tracer.start_span(name, context=within, attributes=_present(attributes), start_time=start).end(end)

    def _measure(self, step: Any, lengths: Any, calls: Sequence[Any]) -> None:
        handle, status = {"letta.model.handle": step.api_model_handle}, {"letta.step.status": step.status}
        request = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": step.provider_name,
            "gen_ai.request.model": step.model,
        }
        self._steps.add(1, _present({**handle, **status, "letta.step.stop_reason": step.stop_reason}))
        self._token_usage.record(step.prompt_tokens, {**request, "gen_ai.token.type": "input"})
        self._token_usage.record(step.completion_tokens, {**request, "gen_ai.token.type": "output"})
        counts = {
            "input": step.prompt_tokens,
            "output": step.completion_tokens,
            "cache_read": step.cached_input_tokens,
            "cache_write": step.cache_write_tokens,
            "reasoning": step.reasoning_tokens,
        }
        for kind, count in counts.items():
            if count:
                self._tokens.add(count, {**handle, "letta.token.type": kind})
        if step.context_window_limit:
            self._window_ratio.record(step.prompt_tokens / step.context_window_limit, handle)
        for call in calls:
            self._tool_calls.add(1, {"gen_ai.tool.name": call.name, "letta.tool.status": call.status})
        if lengths:
            self._step_duration.record(lengths.step_ns / 1e9, status)
            self._request_duration.record(lengths.llm_request_ns / 1e9, request)
            for call in calls:
                told = {"gen_ai.tool.name": call.name, "letta.tool.status": call.status}
                self._tool_duration.record(lengths.tool_execution_ns / 1e9, told)


def _calls(messages: Sequence[Any]) -> dict[str, list[Any]]:
    """The tools that returned, by step."""
    found: dict[str, list[Any]] = {}
    for message in messages:
        if message.message_type == "tool_return_message":
            found.setdefault(message.step_id, []).append(message)
    return found


@cache
def _server(endpoint: str) -> tuple[str | None, int | None]:
    url = urlsplit(endpoint)
    return url.hostname, url.port or _PORTS.get(url.scheme)


def _present(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _first(value: Any, other: Any) -> Any:
    return other if value is None else value


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000


def main() -> None:
    """Do it, and tell what it took."""
    task = arguments()
    with measured(task):
        Script(task).run()


if __name__ == "__main__":
    main()
