"""An OTLP receiver over HTTP that takes everything at once and parses it, so that what arrived can be counted.

It says how many spans of which kind came, how many attributes they had, and how many requests and bytes that took.
It answers before it counts, so that no contestant waits for that.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks.canned.http import Request, Response, serve


class Receiver:
    """Counts."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._seen: dict[str, float] | None = None  # when each step's span came, once anybody asks for that

    def __call__(self, request: Request) -> Response:
        """Answer one request."""
        path = request.target.decode()
        if path.startswith("/bench/"):
            self._seen = {} if path == "/bench/watch" else self._seen
            told = {"counts": dict(self._counts), "seen": self._seen, "cpu": time.process_time()}
            if path == "/bench/reset":
                self._counts.clear()
            return Response(json.dumps(told).encode())
        signal = path.rsplit("/", 1)[-1]
        self._counts[f"{signal}.requests"] += 1
        self._counts[f"{signal}.bytes"] += len(request.body)
        asyncio.get_running_loop().call_soon(self._count, signal, request.body, time.time())
        return Response(b"", content_type=b"application/x-protobuf")

    def _count(self, signal: str, body: bytes, came: float) -> None:
        if signal == "traces":
            self._count_spans(_spans(body), came)
        elif signal == "metrics":
            taken = ExportMetricsServiceRequest.FromString(body)
            groups = [scope.metrics for group in taken.resource_metrics for scope in group.scope_metrics]
            self._counts["metrics"] += sum(map(len, groups))
        else:
            events = ExportLogsServiceRequest.FromString(body)
            scopes = [scope for group in events.resource_logs for scope in group.scope_logs]
            self._counts["events"] += sum(len(scope.log_records) for scope in scopes)

    def _count_spans(self, spans: Sequence[Span], came: float) -> None:
        kinds, attributes = Counter[str](), Counter[str]()
        for span in spans:
            kind = span.name.partition(" ")[0]
            kinds[kind] += 1
            attributes[kind] += len(span.attributes)
            if self._seen is not None and kind == "agent_step":
                self._seen[_step_id(span)] = came
        self._counts["spans"] += kinds.total()
        self._counts.update({f"spans.{kind}": count for kind, count in kinds.items()})
        self._counts.update({f"attributes.{kind}": count for kind, count in attributes.items()})


def _step_id(span: Span) -> str:
    return next(pair.value.string_value for pair in span.attributes if pair.key == "letta.step.id")


def _spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


if __name__ == "__main__":
    serve(Receiver())
