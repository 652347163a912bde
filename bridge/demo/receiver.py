"""An embedded OTLP receiver over HTTP/protobuf, and the page that shows what it received.

Takes POST /v1/traces, /v1/metrics and /v1/logs, plain or gzip. A body that cannot be read is a 400, one over
`MAX_BODY` a 413, another encoding a 415; nothing of such a request is kept. Meant for the demo on a loopback address:
it asks for no key and forgets everything when it ends.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bridge.demo.figures import FigureBook
from bridge.demo.traces import TraceBook

MAX_BODY: Final = 16 * 1024 * 1024

_LONGEST_NUMBER: Final = 18
_PROTOBUF: Final = "application/x-protobuf"
_GZIP: Final = 16 + zlib.MAX_WBITS
_HEADERS: Final = {
    # The page needs nothing from elsewhere, and must not run what an agent's name might hold.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_SCRIPT: Final = "text/javascript; charset=utf-8"
_FILES: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{f"/{name}.js": (f"{name}.js", _SCRIPT) for name in ("page", "dom", "list", "waterfall", "figures")},
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


class Receiver:
    """What was received, and the application that receives and shows it.

    Attributes:
        traces: by trace.
        figures: the metrics.
        app: the ASGI application.
    """

    def __init__(self) -> None:
        self.traces = TraceBook()
        self.figures = FigureBook()
        self.app = Starlette(
            routes=[
                Route("/v1/traces", self._take_traces, methods=["POST"]),
                Route("/v1/metrics", self._take_metrics, methods=["POST"]),
                Route("/v1/logs", self._take_logs, methods=["POST"]),
                Route("/api/state", self._state),
                Route("/api/traces/{trace_id}", self._trace),
                *(Route(path, _file(name, kind)) for path, (name, kind) in _FILES.items()),
            ]
        )

    async def _take_traces(self, request: Request) -> Response:
        message = ExportTraceServiceRequest()
        _parse(message, await _body(request))
        self.traces.add(message)
        return Response(ExportTraceServiceResponse().SerializeToString(), media_type=_PROTOBUF)

    async def _take_metrics(self, request: Request) -> Response:
        message = ExportMetricsServiceRequest()
        _parse(message, await _body(request))
        self.figures.add(message)
        return Response(ExportMetricsServiceResponse().SerializeToString(), media_type=_PROTOBUF)

    async def _take_logs(self, request: Request) -> Response:
        """Log events are taken and not shown: the page has the spans that they are about."""
        _parse(ExportLogsServiceRequest(), await _body(request))
        return Response(ExportLogsServiceResponse().SerializeToString(), media_type=_PROTOBUF)

    async def _state(self, request: Request) -> Response:
        """What is new since `traces` and `figures`, the versions that the page has; 204 when nothing is."""
        traces, figures = (_version(request, name) for name in ("traces", "figures"))
        if (traces, figures) == (self.traces.version, self.figures.version):
            return Response(status_code=204)
        return JSONResponse(
            {
                "versions": {"traces": self.traces.version, "figures": self.figures.version},
                "spans": {"received": self.traces.received, "twice": self.traces.duplicates},
                "order": self.traces.newest_first(),
                "traces": self.traces.changed(traces),
                "figures": self.figures.shown(),
            },
            headers=_HEADERS,
        )

    async def _trace(self, request: Request) -> Response:
        trace = self.traces.trace(request.path_params["trace_id"])
        if trace is None:
            raise HTTPException(404)
        return JSONResponse(trace, headers=_HEADERS)


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (resources.files("bridge.demo") / "page" / name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, headers={**_HEADERS, "content-type": kind})

    return answer


def _version(request: Request, name: str) -> int:
    given = request.query_params.get(name, "0")
    return int(given) if given.isdecimal() and len(given) < _LONGEST_NUMBER else 0


async def _body(request: Request) -> bytes:
    if request.headers.get("content-type", "").partition(";")[0].strip() != _PROTOBUF:
        raise HTTPException(415, f"send {_PROTOBUF}")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise HTTPException(413)
    encoding = request.headers.get("content-encoding", "identity")
    if encoding == "gzip":
        return _gunzip(body)
    if encoding != "identity":
        raise HTTPException(415, "send it plain or as gzip")
    return body


def _gunzip(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        content = unpacker.decompress(body, MAX_BODY)
    except zlib.error as error:
        raise HTTPException(400, f"not gzip: {error}") from None
    if unpacker.unconsumed_tail:
        raise HTTPException(413)
    if not unpacker.eof:
        raise HTTPException(400, "the gzip stream is cut off")
    return content


def _parse(message: Any, body: bytes) -> None:
    try:
        message.ParseFromString(body)
    except DecodeError:
        raise HTTPException(400, "not a request of this signal") from None
