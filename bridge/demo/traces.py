"""Spans as they arrive, kept as traces that a page can show.

A span that comes twice replaces itself and is counted. The traces least recently added to go when there are more
than `MAX_TRACES`, and a trace takes no more than `MAX_SPANS` spans: memory is bounded however long it listens.
Times leave here in milliseconds: a browser's numbers do not hold nanoseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

MAX_TRACES: Final = 200
MAX_SPANS: Final = 2000

_NS_PER_MS: Final = 1_000_000
_STATUS: Final = {Status.STATUS_CODE_UNSET: "unset", Status.STATUS_CODE_OK: "ok", Status.STATUS_CODE_ERROR: "error"}

Json = dict[str, Any]


@dataclass(slots=True)
class _Trace:
    id: str
    version: int = 0
    spans: dict[str, Span] = field(default_factory=dict)

    def start_ns(self) -> int:
        return min(span.start_time_unix_nano for span in self.spans.values())

    def end_ns(self) -> int:
        return max(span.end_time_unix_nano for span in self.spans.values())


class TraceBook:
    """The last traces.

    Attributes:
        version: grows with every span.
        received: how many spans came, whether for the first time or not.
        duplicates: how many of them had come before.
    """

    def __init__(self) -> None:
        self.version = 0
        self.received = 0
        self.duplicates = 0
        self._traces: dict[str, _Trace] = {}  # least recently added to first

    def add(self, request: ExportTraceServiceRequest) -> None:
        """Take all spans of a request."""
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self._add(span)

    def changed(self, since: int) -> list[Json]:
        """A summary of each trace that has changed after a version; of all for a version from the future."""
        if since > self.version:
            since = 0
        return [_summary(trace) for trace in self._traces.values() if trace.version > since]

    def newest_first(self) -> list[str]:
        """The ids of all traces by their start."""
        return sorted(self._traces, key=lambda trace_id: -self._traces[trace_id].start_ns())

    def trace(self, trace_id: str) -> Json | None:
        """One trace with its spans in the order of a waterfall, or None."""
        trace = self._traces.get(trace_id)
        return None if trace is None else {**_summary(trace), "spans": list(_waterfall(trace))}

    def _add(self, span: Span) -> None:
        self.received += 1
        trace_id, span_id = span.trace_id.hex(), span.span_id.hex()
        trace = self._traces.pop(trace_id, None) or _Trace(trace_id)
        self._traces[trace_id] = trace
        self.duplicates += span_id in trace.spans
        if span_id in trace.spans or len(trace.spans) < MAX_SPANS:
            trace.spans[span_id] = span
        self.version += 1
        trace.version = self.version
        while len(self._traces) > MAX_TRACES:
            del self._traces[next(iter(self._traces))]


def _summary(trace: _Trace) -> Json:
    spans = list(trace.spans.values())
    attributes = {span.span_id: _attributes(span.attributes) for span in spans}
    root = next((span for span in spans if _is_run(attributes[span.span_id])), None)
    everything = list(attributes.values())
    about = attributes[root.span_id] if root else {}
    return {
        "id": trace.id,
        "version": trace.version,
        "name": _first("gen_ai.agent.name", everything) or _first("gen_ai.agent.id", everything) or spans[0].name,
        "state": _state(root, about),
        "reason": about.get("error.type") or about.get("letta.run.stop_reason"),
        "start": trace.start_ns() / _NS_PER_MS,
        "duration": (trace.end_ns() - trace.start_ns()) / _NS_PER_MS,
        "models": sorted({model for one in everything if (model := one.get("gen_ai.request.model"))}),
        "tokens_in": _sum("gen_ai.usage.input_tokens", everything),
        "tokens_out": _sum("gen_ai.usage.output_tokens", everything),
        "steps": sum(span.name == "agent_step" for span in spans),
        "tools": sum("gen_ai.tool.name" in one for one in everything),
        "errors": sum(span.status.code == Status.STATUS_CODE_ERROR for span in spans),
    }


def _is_run(attributes: Mapping[str, Any]) -> bool:
    return attributes.get("gen_ai.operation.name") == "invoke_agent"


def _state(root: Span | None, attributes: Mapping[str, Any]) -> str:
    """One word for a run; its own span comes last, so without one it is still running."""
    if root is None:
        return "running"
    if attributes.get("error.type") in {"cancelled", "abandoned"}:
        return str(attributes["error.type"])
    if root.status.code == Status.STATUS_CODE_ERROR:
        return "failed"
    return "waiting" if attributes.get("letta.run.stop_reason") == "requires_approval" else "completed"


def _waterfall(trace: _Trace) -> Iterator[Json]:
    """Depth first, siblings by their start; a span whose parent is not here stands at the top."""
    children: dict[bytes, list[Span]] = {}
    known = {span.span_id for span in trace.spans.values()}
    for span in sorted(trace.spans.values(), key=lambda one: (one.start_time_unix_nano, -one.end_time_unix_nano)):
        parent = span.parent_span_id if span.parent_span_id in known - {span.span_id} else b""
        children.setdefault(parent, []).append(span)
    start = trace.start_ns()
    waiting = [(span, 0) for span in reversed(children.get(b"", []))]
    while waiting:
        span, depth = waiting.pop()
        yield _shown(span, depth, start)
        waiting += [(child, depth + 1) for child in reversed(children.pop(span.span_id, []))]


def _shown(span: Span, depth: int, start_ns: int) -> Json:
    return {
        "id": span.span_id.hex(),
        "name": span.name,
        "depth": depth,
        "kind": _kind(span),
        "start": (span.start_time_unix_nano - start_ns) / _NS_PER_MS,
        "duration": (span.end_time_unix_nano - span.start_time_unix_nano) / _NS_PER_MS,
        "status": _STATUS.get(span.status.code, "unset"),
        "message": span.status.message,
        "attributes": _attributes(span.attributes),
        "events": [
            {
                "name": event.name,
                "start": (event.time_unix_nano - start_ns) / _NS_PER_MS,
                "attributes": _attributes(event.attributes),
            }
            for event in span.events
        ],
        "links": [{"trace": link.trace_id.hex(), "span": link.span_id.hex()} for link in span.links],
    }


def _kind(span: Span) -> str:
    """What the page colours by."""
    operations = {"invoke_agent": "agent", "chat": "chat", "execute_tool": "tool"}
    return operations.get(span.name.partition(" ")[0], "step")


def _first(name: str, attributes: Iterable[Mapping[str, Any]]) -> str | None:
    return next((str(one[name]) for one in attributes if name in one), None)


def _sum(name: str, attributes: Iterable[Mapping[str, Any]]) -> int:
    return sum(one.get(name, 0) for one in attributes)


def _attributes(pairs: Iterable[KeyValue]) -> Json:
    return {pair.key: plain(pair.value) for pair in pairs}


def plain(value: AnyValue) -> Any:
    """An attribute's value as JSON has it; an integer that a browser would round is text."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    if kind == "bytes_value":
        return value.bytes_value.hex()
    if kind == "int_value" and abs(value.int_value) >= 2**53:
        return str(value.int_value)
    return getattr(value, kind) if kind else None
