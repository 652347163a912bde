from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from export_samples import log_payload, payload
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from receivers import Fails, GrpcReceiver, Hangs, HttpReceiver, Relay

from bridge.errors import SettingsError
from bridge.export.answers import (
    Accepted,
    Answer,
    Denied,
    PartlyRejected,
    Refused,
    Retryable,
    Signal,
    Sink,
    TooLarge,
    Unsupported,
)
from bridge.export.endpoint import Endpoint
from bridge.export.sink import open_sink

PAYLOAD = payload(3)


@asynccontextmanager
async def sink_to(url: str, **settings: Any) -> AsyncIterator[Sink]:
    endpoint = Endpoint(url=url, protocol="grpc", **{"timeout": 5.0, **settings})
    sink = open_sink(endpoint, endpoint, endpoint)
    try:
        yield sink
    finally:
        await sink.close()


async def answer_to(answer: bytes | Fails, *, signal: Signal = Signal.TRACES, **settings: Any) -> Answer:
    async with GrpcReceiver().answer(answer) as receiver, sink_to(receiver.url, **settings) as sink:
        return await sink.send(signal, PAYLOAD)


def details(*, message: str = "", seconds: int | None = None, nanos: int = 0) -> list[tuple[str, str | bytes]]:
    status = Status(code=8, message=message)
    if seconds is not None:
        info = AnyMessage()
        info.Pack(RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos)))
        status.details.append(info)
    return [("grpc-status-details-bin", status.SerializeToString())]


async def test_the_payload_arrives_byte_for_byte_with_its_metadata() -> None:
    async with GrpcReceiver() as receiver, sink_to(receiver.url, headers={"X-Team": "blue"}) as sink:
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
        assert await sink.send(Signal.METRICS, b"") == Accepted()
        assert await sink.send(Signal.LOGS, log_payload(2)) == Accepted()
    traces, metrics, logs = receiver.requests
    assert (traces.path.split("/")[1], traces.body) == (
        "opentelemetry.proto.collector.trace.v1.TraceService",
        PAYLOAD,
    )
    assert (metrics.path.split(".")[-1], metrics.body) == ("MetricsService/Export", b"")
    assert (logs.path.split(".")[-1], logs.body) == ("LogsService/Export", log_payload(2))
    assert traces.headers["x-team"] == "blue"
    assert traces.headers["user-agent"].startswith("letta-otel-bridge/")


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_gzip_is_what_travels(compression: str) -> None:
    big = payload(2_000)
    async with (
        GrpcReceiver() as receiver,
        Relay(receiver.port) as relay,
        sink_to(relay.url, compression=compression) as sink,
    ):
        assert await sink.send(Signal.TRACES, big) == Accepted()
    assert receiver.requests[0].body == big
    assert (relay.sent < len(big) / 2) == (compression == "gzip")


async def test_partly_rejected() -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 40
    response.partial_success.error_message = "too many attributes"
    assert await answer_to(response.SerializeToString()) == PartlyRejected(40, "too many attributes")


async def test_partly_rejected_metrics() -> None:
    response = ExportMetricsServiceResponse()
    response.partial_success.rejected_data_points = 1
    response.partial_success.error_message = "old"
    assert await answer_to(response.SerializeToString(), signal=Signal.METRICS) == PartlyRejected(1, "old")


async def test_partly_rejected_logs() -> None:
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = 1
    response.partial_success.error_message = "old"
    assert await answer_to(response.SerializeToString(), signal=Signal.LOGS) == PartlyRejected(1, "old")


async def test_a_message_without_rejections_is_a_warning() -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.error_message = "please upgrade"
    assert await answer_to(response.SerializeToString()) == Accepted("please upgrade")


async def test_ok_with_nonsense_is_no_success() -> None:
    assert isinstance(await answer_to(b"\xff\xff\x00"), Denied)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (StatusCode.UNAVAILABLE, Retryable),
        (StatusCode.DEADLINE_EXCEEDED, Retryable),
        (StatusCode.CANCELLED, Retryable),
        (StatusCode.ABORTED, Retryable),
        (StatusCode.OUT_OF_RANGE, Retryable),
        (StatusCode.DATA_LOSS, Retryable),
        (StatusCode.RESOURCE_EXHAUSTED, Retryable),
        (StatusCode.UNAUTHENTICATED, Denied),
        (StatusCode.PERMISSION_DENIED, Denied),
        (StatusCode.UNIMPLEMENTED, Unsupported),
        (StatusCode.INVALID_ARGUMENT, Refused),
        (StatusCode.FAILED_PRECONDITION, Refused),
        (StatusCode.NOT_FOUND, Refused),
        (StatusCode.ALREADY_EXISTS, Refused),
        (StatusCode.INTERNAL, Refused),
        (StatusCode.UNKNOWN, Refused),
    ],
)
async def test_every_status_code(code: StatusCode, kind: type[Answer]) -> None:
    answer = await answer_to(Fails(code, "the\nreason"))
    assert isinstance(answer, kind)
    assert f"answered {code.name}: " in repr(answer)
    assert "the reason" in repr(answer)


@pytest.mark.parametrize(
    "text",
    [
        "Compression algorithm 'gzip' is not supported.",
        'grpc: Decompressor is not installed for grpc-encoding "gzip"',
        "Can't find decompressor for gzip",
        "Unsupported grpc-encoding value 'gzip'. Supported encodings: identity",
        "Content is compressed with `gzip` which isn't supported",
    ],
    ids=["core", "go", "java", "net", "rust"],
)
async def test_a_server_that_cannot_unzip_is_no_server_without_the_signal(text: str) -> None:
    fails = Fails(StatusCode.UNIMPLEMENTED, text)
    assert isinstance(await answer_to(fails, compression="gzip"), Denied)
    assert isinstance(await answer_to(fails), Unsupported)


@pytest.mark.parametrize("code", [StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNAVAILABLE])
async def test_retry_info_says_when(code: StatusCode) -> None:
    answer = await answer_to(Fails(code, "busy", details(seconds=2, nanos=500_000_000)))
    assert isinstance(answer, Retryable)
    assert answer.retry_after == 2.5


@pytest.mark.parametrize("trailing", [b"\xff", details(message="no delay")[0][1]])
async def test_details_without_a_delay_say_nothing(trailing: bytes) -> None:
    answer = await answer_to(Fails(StatusCode.UNAVAILABLE, "busy", [("grpc-status-details-bin", trailing)]))
    assert isinstance(answer, Retryable)
    assert answer.retry_after is None


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (5000000 vs. 4194304)"),
        (StatusCode.RESOURCE_EXHAUSTED, "grpc: received message after decompression larger than max 4194304"),
        (StatusCode.RESOURCE_EXHAUSTED, "gRPC message exceeds maximum size 4194304: 5000000"),
        (StatusCode.RESOURCE_EXHAUSTED, "Received message exceeds the maximum configured message size."),
        (
            StatusCode.OUT_OF_RANGE,
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304",
        ),
    ],
    ids=["core", "go", "java", "net", "rust"],
)
async def test_too_large_in_the_words_of_each_implementation(code: StatusCode, text: str) -> None:
    assert isinstance(await answer_to(Fails(code, text)), TooLarge)


@pytest.mark.parametrize("text", ["sending queue is full", "quota exceeded for spans per minute", ""])
async def test_exhausted_for_another_reason_than_size_waits(text: str) -> None:
    assert isinstance(await answer_to(Fails(StatusCode.RESOURCE_EXHAUSTED, text)), Retryable)


async def test_a_size_text_with_a_delay_is_about_the_rate() -> None:
    answer = await answer_to(Fails(StatusCode.RESOURCE_EXHAUSTED, "batch too large for now", details(seconds=1)))
    assert isinstance(answer, Retryable)


async def test_a_real_server_refuses_what_is_over_its_limit() -> None:
    async with GrpcReceiver() as receiver, sink_to(receiver.url) as sink:
        assert isinstance(await sink.send(Signal.TRACES, PAYLOAD * 20_000), TooLarge)
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()


async def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with sink_to(f"http://127.0.0.1:{unused.getsockname()[1]}") as sink:
            answer = await sink.send(Signal.TRACES, PAYLOAD)
    assert isinstance(answer, Retryable)
    assert "Connection refused" in answer.reason


async def test_a_server_that_goes_away_in_the_middle() -> None:
    async with GrpcReceiver().answer(Hangs()) as receiver, sink_to(receiver.url) as sink:
        sending = asyncio.create_task(sink.send(Signal.TRACES, PAYLOAD))
        await receiver.arrived.wait()
        await receiver.stop()
        assert isinstance(await sending, Retryable)


async def test_a_connection_that_breaks_in_the_middle() -> None:
    async with GrpcReceiver().answer(Hangs()) as receiver, Relay(receiver.port) as relay, sink_to(relay.url) as sink:
        sending = asyncio.create_task(sink.send(Signal.TRACES, PAYLOAD))
        await receiver.arrived.wait()
        relay.cut()
        assert isinstance(await sending, Retryable)
        async with asyncio.timeout(20):  # what is left of the connection can cost a call more
            while isinstance(answer := await sink.send(Signal.TRACES, PAYLOAD), Retryable):
                pass
        assert answer == Accepted()


async def test_no_answer_in_time() -> None:
    async with GrpcReceiver().answer(Hangs()) as receiver, sink_to(receiver.url, timeout=0.1) as sink:
        async with asyncio.timeout(1.5):
            answer = await sink.send(Signal.TRACES, PAYLOAD)
    assert isinstance(answer, Retryable)
    assert "DEADLINE_EXCEEDED" in answer.reason


async def test_an_http_port_is_no_grpc_port() -> None:
    async with HttpReceiver() as receiver, sink_to(receiver.url, timeout=0.2) as sink:
        assert isinstance(await sink.send(Signal.TRACES, PAYLOAD), Retryable)


@pytest.mark.parametrize("name", ["x!y", "x-bin", "X-Bin"])
def test_a_header_that_grpc_cannot_send_is_a_setting(name: str) -> None:
    with pytest.raises(SettingsError, match=f"OTLP header '{name}' cannot be sent over gRPC"):
        open_sink(Endpoint(url="http://localhost:4317", protocol="grpc", headers={name: "1"}))


@pytest.mark.parametrize("code", [StatusCode.UNAUTHENTICATED, StatusCode.UNAVAILABLE, StatusCode.INVALID_ARGUMENT])
async def test_no_answer_repeats_a_secret(code: StatusCode) -> None:
    answer = await answer_to(Fails(code, "bad key s3cr3t-key"), headers={"api-key": "s3cr3t-key"})
    assert "s3cr3t" not in repr(answer)
    assert "***" in repr(answer)
