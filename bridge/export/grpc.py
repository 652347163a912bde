"""OTLP over gRPC: one unary call per request, and the status read to the letter.

Imported only when a user chose gRPC. The payload's bytes travel as they are. Never raises for what a backend or a
network does. The channel reconnects by itself; no call is repeated here.
"""

from __future__ import annotations

import re
from typing import cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from bridge import __version__
from bridge.export import replies, tls
from bridge.export.answers import Answer, Denied, Refused, Retryable, Signal, TooLarge
from bridge.export.endpoint import Endpoint

_METHODS = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}
_RETRYABLE = {
    StatusCode.UNAVAILABLE,
    StatusCode.DEADLINE_EXCEEDED,
    StatusCode.CANCELLED,
    StatusCode.ABORTED,
    StatusCode.OUT_OF_RANGE,
    StatusCode.DATA_LOSS,
    # The specification calls this one retryable only with a RetryInfo. Servers that are merely busy (a quota, a full
    # queue) mostly send none, and to give up on them would lose spans; what is over a size limit says so in its text.
    StatusCode.RESOURCE_EXHAUSTED,
}
_DENIED = {
    StatusCode.UNAUTHENTICATED: "check the key in the OTLP headers",
    StatusCode.PERMISSION_DENIED: "the key in the OTLP headers may not write here",
    StatusCode.UNIMPLEMENTED: "no OTLP service for this signal, or not with this compression: check the address",
}
# gRPC's own implementations: core and Go "message larger than max", Java "maximum size", .NET "message size",
# Rust "message length too large" (which sends it as OUT_OF_RANGE).
_SIZE_CODES = {StatusCode.RESOURCE_EXHAUSTED, StatusCode.OUT_OF_RANGE}
_SIZE_WORDS = re.compile(r"larger than max|maximum size|message (size|length)|(message|request|batch|body) too large")
_COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "none": grpc.Compression.NoCompression}
_OPTIONS = (
    ("grpc.primary_user_agent", f"letta-otel-bridge/{__version__}"),
    ("grpc.max_reconnect_backoff_ms", 10_000),  # by default up to two minutes go by unnoticed after a backend is back
)


class GrpcSender:
    """Sends one signal to one endpoint."""

    def __init__(self, signal: Signal, endpoint: Endpoint) -> None:
        """Raise SettingsError where a certificate file cannot be used. No loop need run yet."""
        self._signal = signal
        self._endpoint = endpoint
        self._credentials = _credentials(endpoint)
        self._metadata = tuple((name.lower(), value) for name, value in endpoint.headers.items())
        self._compression = _COMPRESSIONS[endpoint.compression]
        self._channel: grpc.aio.Channel | None = None

    async def send(self, payload: bytes) -> Answer:
        """Call Export with one serialised request."""
        export = self._open().unary_unary(_METHODS[self._signal], None, None)
        try:
            body = await export(
                payload, timeout=self._endpoint.timeout, metadata=self._metadata, compression=self._compression
            )
        except grpc.aio.AioRpcError as error:
            return self._answer(error.code(), error.details() or "", _details(error))
        return replies.success(self._signal, body, address=self._endpoint.address)

    async def close(self) -> None:
        """Close the connection."""
        if self._channel:
            await self._channel.close(None)

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            target = _target(self._endpoint.url)
            if self._credentials:
                self._channel = grpc.aio.secure_channel(target, self._credentials, _OPTIONS)
            else:
                self._channel = grpc.aio.insecure_channel(target, _OPTIONS)
        return self._channel

    def _answer(self, code: StatusCode, text: str, details: Status) -> Answer:
        said = replies.one_line(details.message or text)
        hints = (_DENIED.get(code), said)
        reason = ": ".join([f"{self._endpoint.address} answered {code.name}", *(hint for hint in hints if hint)])
        wait = _retry_after(details)
        if code in _DENIED:
            return Denied(reason)
        if wait is None and code in _SIZE_CODES and _SIZE_WORDS.search(said.lower()):
            return TooLarge(reason)
        return Retryable(reason, wait) if code in _RETRYABLE else Refused(reason)


def _target(url: str) -> str:
    """What gRPC dials: the host and port of a URL, anything else as it is."""
    scheme, _, rest = url.partition("://")
    return rest.partition("/")[0].rpartition("@")[2] if scheme.lower() in {"http", "https"} else url


def _credentials(endpoint: Endpoint) -> grpc.ChannelCredentials | None:
    """None for plain text; a scheme decides, and `insecure` where there is none."""
    scheme = endpoint.url.partition("://")[0].lower()
    if scheme == "http" or (scheme != "https" and endpoint.insecure):
        return None
    tls.context(endpoint)  # gRPC itself would only fail to connect, without saying which file is wrong
    return grpc.ssl_channel_credentials(
        tls.read(endpoint.ca_file), tls.read(endpoint.client_key), tls.read(endpoint.client_certificate)
    )


def _details(error: grpc.aio.AioRpcError) -> Status:
    """The google.rpc.Status that came with the failure; an empty one without."""
    metadata = cast("grpc.aio.Metadata", error.trailing_metadata())  # grpc-stubs has the type of the other API
    try:
        return Status.FromString(metadata.get("grpc-status-details-bin", b""))
    except DecodeError:
        return Status()


def _retry_after(details: Status) -> float | None:
    """Seconds of the RetryInfo among the details."""
    for detail in details.details:
        if detail.TypeName() == RetryInfo.DESCRIPTOR.full_name:
            return _delay(detail.value)
    return None


def _delay(retry_info: bytes) -> float | None:
    try:
        delay = RetryInfo.FromString(retry_info).retry_delay
    except DecodeError:
        return None
    return max(0.0, delay.seconds + delay.nanos / 1e9)
