"""An OTLP receiver over HTTP that takes everything at once and parses it, so that what arrived can be counted.

It says how many spans of which kind came, how many attributes they had, and how many requests and bytes that took.
"""

from __future__ import annotations

import json
import time
from collections import Counter

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
        self._count(signal, request.body)
        return Response(b"", content_type=b"application/x-protobuf")

    def _count(self, signal: str, body: bytes) -> None:
        if signal == "traces":
            for span in _spans(body):
                kind = span.name.split(" ", 1)[0]
                if self._seen is not None and kind == "agent_step":
                    self._seen[_step_id(span)] = time.time()
                self._counts["spans"] += 1
                self._counts[f"spans.{kind}"] += 1
                self._counts[f"attributes.{kind}"] += len(span.attributes)
        elif signal == "metrics":
            taken = ExportMetricsServiceRequest.FromString(body)
            groups = [scope.metrics for group in taken.resource_metrics for scope in group.scope_metrics]
            self._counts["metrics"] += sum(map(len, groups))
        else:
            events = ExportLogsServiceRequest.FromString(body)
            scopes = [scope for group in events.resource_logs for scope in group.scope_logs]
            self._counts["events"] += sum(len(scope.log_records) for scope in scopes)


def _step_id(span: Span) -> str:
    return next(pair.value.string_value for pair in span.attributes if pair.key == "letta.step.id")


def _spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for group in request.resource_spans for scope in group.scope_spans for span in scope.spans]


if __name__ == "__main__":
    serve(Receiver())
