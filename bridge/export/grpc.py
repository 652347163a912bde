"""OTLP over gRPC: one unary call per request, and the status read to the letter.

Imported only when a user chose gRPC. The payload's bytes travel as they are. Never raises for what a backend or a
network does. The channel reconnects by itself; no call is repeated here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from bridge import __version__
from bridge.errors import SettingsError
from bridge.export import replies, tls
from bridge.export.answers import Answer, Denied, Refused, Retryable, Signal, TooLarge, Unsupported
from bridge.export.endpoint import Endpoint
from bridge.plain import one_line

_METHODS = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.METRICS: "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
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
}
# gRPC's own implementations: core and Go "message larger than max", Java "maximum size", .NET "message size",
# Rust "message length too large" (which sends it as OUT_OF_RANGE).
_SIZE_CODES = {StatusCode.RESOURCE_EXHAUSTED, StatusCode.OUT_OF_RANGE}
_SIZE_WORDS = re.compile(r"larger than max|maximum size|message (size|length)|(message|request|batch|body) too large")
# A server that cannot unzip says UNIMPLEMENTED too. In the words of core, Go ("Decompressor is not installed for
# grpc-encoding"), Java, .NET and Rust ("Content is compressed with").
_COMPRESSION_WORDS = re.compile(r"compress|encoding")
_KEY = re.compile(r"[0-9a-z_.-]+")
_COMPRESSIONS = {"gzip": grpc.Compression.Gzip, "none": grpc.Compression.NoCompression}
_OPTIONS = (
    ("grpc.primary_user_agent", f"letta-otel-bridge/{__version__}"),
    ("grpc.max_reconnect_backoff_ms", 10_000),  # by default up to two minutes go by unnoticed after a backend is back
)


class GrpcSender:
    """Sends one signal to one endpoint."""

    def __init__(self, signal: Signal, endpoint: Endpoint) -> None:
        """Raise SettingsError where a certificate file or a header cannot be used. No loop need run yet."""
        self._signal = signal
        self._endpoint = endpoint
        self._credentials = _credentials(endpoint)
        self._metadata = tuple(_metadata(endpoint))
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
        said = one_line(details.message or text)
        kind, hint = self._refusal(code, said.lower())
        reason = ": ".join(
            [f"{self._endpoint.address} answered {code.name}", *(part for part in (hint, said) if part)]
        )
        wait = _retry_after(details)
        if wait is None and code in _SIZE_CODES and _SIZE_WORDS.search(said.lower()):
            return TooLarge(reason)
        return Retryable(reason, wait) if code in _RETRYABLE else kind(reason)

    def _refusal(self, code: StatusCode, said: str) -> tuple[type[Denied | Unsupported | Refused], str]:
        """What a code that is not retryable means, and what to do."""
        if code in _DENIED:
            return Denied, _DENIED[code]
        if code is not StatusCode.UNIMPLEMENTED:
            return Refused, ""
        if self._endpoint.compression != "none" and _COMPRESSION_WORDS.search(said):
            return Denied, "it cannot unzip: set the compression to none"
        return Unsupported, f"no OTLP service for {self._signal}: check the address"


def _metadata(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """The headers, whose names gRPC is stricter about than HTTP; `-bin` is for values that are no text."""
    for name, value in endpoint.headers.items():
        if not _KEY.fullmatch(name.lower()) or name.lower().endswith("-bin"):
            raise SettingsError(f"OTLP header {name!r} cannot be sent over gRPC: use letters, digits, - _ and .")
        yield name.lower(), value


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
