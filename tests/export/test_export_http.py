from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import pytest
from export_samples import log_payload, payload
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from receivers import GrpcReceiver, HttpReceiver, Play, drips, hangs, resets_after, says, writes

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
NOW = 1_800_000_000.0


class StoppedClock:
    def now(self) -> float:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


@asynccontextmanager
async def sink_to(url: str, **settings: Any) -> AsyncIterator[Sink]:
    endpoints = [
        Endpoint(url=f"{url}/v1/{signal}", **{"timeout": 5.0, **settings}) for signal in ("traces", "metrics", "logs")
    ]
    sink = open_sink(*endpoints, clock=StoppedClock())
    try:
        yield sink
    finally:
        await sink.close()


async def answer_to(play: Play, *, signal: Signal = Signal.TRACES, **settings: Any) -> Answer:
    async with HttpReceiver().answer(play) as receiver, sink_to(receiver.url, **settings) as sink:
        return await sink.send(signal, PAYLOAD)


def partial_success(rejected: int, message: str) -> bytes:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = message
    return response.SerializeToString()


async def test_the_payload_arrives_byte_for_byte_with_its_headers() -> None:
    async with HttpReceiver() as receiver, sink_to(receiver.url, headers={"X-Team": "blue"}) as sink:
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
        assert await sink.send(Signal.METRICS, b"") == Accepted()
        assert await sink.send(Signal.LOGS, log_payload(2)) == Accepted()
    traces, metrics, logs = receiver.requests
    assert (traces.path, traces.body, metrics.path, metrics.body) == ("/v1/traces", PAYLOAD, "/v1/metrics", b"")
    assert (logs.path, logs.body) == ("/v1/logs", log_payload(2))
    assert traces.headers["content-type"] == "application/x-protobuf"
    assert traces.headers["x-team"] == "blue"
    assert traces.headers["user-agent"].startswith("letta-otel-bridge/")
    assert "content-encoding" not in traces.headers


async def test_gzip_is_said_and_done() -> None:
    async with HttpReceiver() as receiver, sink_to(receiver.url, compression="gzip") as sink:
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
    assert receiver.requests[0].headers["content-encoding"] == "gzip"
    assert receiver.requests[0].body == PAYLOAD


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/x-protobuf"),
        (b"", "text/html"),
        (b"\n", "text/plain"),
        (b"{}", "application/json"),
        (b"{}", "application/x-protobuf"),
        (b'{"partialSuccess":null}', "application/json"),
        (b'{"partialSuccess":{}}', "application/x-protobuf"),
        (b'{"ok":1}', "application/json"),
        (b'\r\n {"ok":1}\n', "application/json"),
        (ExportTraceServiceResponse().SerializeToString(), "application/x-protobuf"),
        (partial_success(0, ""), "application/x-protobuf"),
    ],
)
async def test_every_known_way_to_say_yes(body: bytes, content_type: str) -> None:
    assert await answer_to(says(200, body, content_type)) == Accepted()


@pytest.mark.parametrize("status", [201, 202, 204])
async def test_other_success_statuses_are_a_yes(status: int) -> None:
    assert await answer_to(says(status)) == Accepted()


@pytest.mark.parametrize(
    "body",
    [
        partial_success(2, "too old"),
        b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}',
        b'{"partial_success":{"rejected_spans":2,"error_message":"too old"}}',
    ],
)
async def test_partly_rejected(body: bytes) -> None:
    assert await answer_to(says(200, body)) == PartlyRejected(2, "too old")


async def test_partly_rejected_metrics() -> None:
    response = ExportMetricsServiceResponse()
    response.partial_success.rejected_data_points = 4
    answer = await answer_to(says(200, response.SerializeToString()), signal=Signal.METRICS)
    assert answer == PartlyRejected(4, "no reason given")


async def test_partly_rejected_logs() -> None:
    response = ExportLogsServiceResponse()
    response.partial_success.rejected_log_records = 4
    for body in (response.SerializeToString(), b'{"partialSuccess":{"rejectedLogRecords":"4"}}'):
        answer = await answer_to(says(200, body), signal=Signal.LOGS)
        assert answer == PartlyRejected(4, "no reason given")


async def test_a_message_without_rejections_is_a_warning() -> None:
    assert await answer_to(says(200, partial_success(0, "please\nupgrade"))) == Accepted("please upgrade")


@pytest.mark.parametrize(
    "body", [b"<!doctype html><p>Welcome", b"\n\n  <html>", b"OK", b"hi", b"\xff\xfe\x00", b"[1]", b"{"]
)
async def test_success_from_something_else_is_no_success(body: bytes) -> None:
    answer = await answer_to(says(200, body, "text/html"))
    assert isinstance(answer, Denied)
    assert "/v1/traces is no OTLP endpoint, it answered success with " in answer.reason


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
async def test_redirects_are_not_followed(status: int) -> None:
    async with HttpReceiver() as other, HttpReceiver() as receiver, sink_to(receiver.url) as sink:
        receiver.answer(says(status, location=f"{other.url}/login?token=t0psecret"))
        answer = await sink.send(Signal.TRACES, PAYLOAD)
        assert isinstance(answer, Denied)
        assert f"{status}: redirects are not followed, it points to {other.url}/login" in answer.reason
        assert "t0psecret" not in answer.reason
        assert other.requests == []


async def test_a_redirect_to_nonsense_does_no_harm() -> None:
    assert isinstance(await answer_to(says(302, location="http://[nonsense")), Denied | Retryable)


@pytest.mark.parametrize("status", [400, 409, 422, 418])
async def test_refused_for_good(status: int) -> None:
    body = Status(code=3, message="span has no name").SerializeToString()
    answer = await answer_to(says(status, body))
    assert isinstance(answer, Refused)
    assert answer.reason.endswith(f"/v1/traces answered {status}: span has no name")


async def test_the_reason_is_read_from_plain_text_too() -> None:
    answer = await answer_to(says(400, b'{"detail":"no such\nproject"}', "application/json"))
    assert isinstance(answer, Refused)
    assert answer.reason.endswith('answered 400: {"detail":"no such project"}')


@pytest.mark.parametrize("status", [401, 403, 407, 415, 501])
async def test_denied(status: int) -> None:
    assert isinstance(await answer_to(says(status, b"<html>who are you</html>", "text/html")), Denied)


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize("signal", list(Signal))
async def test_nothing_takes_this_signal_there(status: int, signal: Signal) -> None:
    answer = await answer_to(says(status, b"<html>nothing here</html>", "text/html"), signal=signal)
    assert isinstance(answer, Unsupported)
    assert answer.reason.endswith(
        f"answered {status}: check the path of the URL, for {signal.value} usually /v1/{signal.value}"
    )


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 520])
async def test_retryable(status: int) -> None:
    answer = await answer_to(says(status, b"busy"))
    assert isinstance(answer, Retryable)
    assert answer.reason.endswith(f"answered {status}: busy")
    assert answer.retry_after is None


async def test_retry_after_in_seconds() -> None:
    answer = await answer_to(says(429, retry_after="17"))
    assert isinstance(answer, Retryable)
    assert answer.retry_after == 17


async def test_retry_after_as_a_date_is_read_against_the_servers_own_clock() -> None:
    answer = await answer_to(says(503, retry_after=http_date(1_000_060), date=http_date(1_000_000)))
    assert isinstance(answer, Retryable)
    assert answer.retry_after == 60


async def test_retry_after_as_a_date_is_read_against_ours_without_one() -> None:
    answer = await answer_to(says(503, retry_after=http_date(NOW + 42)))
    assert isinstance(answer, Retryable)
    assert answer.retry_after == 42


@pytest.mark.parametrize("header", ["soon", "-5", "", "\xb2", "Fri, 99 Foo 2026"])
async def test_a_senseless_retry_after_is_none(header: str) -> None:
    play = writes(f"HTTP/1.1 503 Busy\r\nretry-after: {header}\r\ncontent-length: 0\r\n\r\n".encode("latin-1"))
    answer = await answer_to(play)
    assert isinstance(answer, Retryable)
    assert answer.retry_after is None


async def test_too_large() -> None:
    assert isinstance(await answer_to(says(413)), TooLarge)


async def test_too_large_said_before_the_body_was_read() -> None:
    big = payload(1) * 60_000
    async with (
        HttpReceiver(early=says(413, b"no more than 1 MB", connection="close")) as receiver,
        sink_to(receiver.url) as sink,
    ):
        assert isinstance(await sink.send(Signal.TRACES, big), TooLarge)


async def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with sink_to(url) as sink:
            assert await sink.send(Signal.TRACES, PAYLOAD) == Retryable(f"{url}/v1/traces: Connection refused")


async def test_a_host_that_does_not_exist() -> None:
    async with sink_to("http://collector.invalid:4318") as sink:
        answer = await sink.send(Signal.TRACES, PAYLOAD)
    assert isinstance(answer, Retryable)
    assert "All connection attempts failed" not in answer.reason


@pytest.mark.parametrize(
    "play",
    [
        resets_after(b""),
        resets_after(b"HTTP/1.1 200 OK\r\n"),
        resets_after(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        resets_after(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhe"),
        writes(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope"),
    ],
)
async def test_half_an_answer_is_no_answer(play: Play) -> None:
    assert isinstance(await answer_to(play), Retryable)


async def test_a_reset_in_the_middle_of_the_request() -> None:
    big = payload(1) * 60_000
    async with HttpReceiver(early=resets_after(b"")) as receiver, sink_to(receiver.url) as sink:
        assert isinstance(await sink.send(Signal.TRACES, big), Retryable)
    assert receiver.connections == 1, "a fresh connection that breaks is not tried again"


async def test_a_status_that_came_counts_though_its_body_did_not() -> None:
    assert isinstance(await answer_to(resets_after(b"HTTP/1.1 401 No\r\ncontent-length: 100\r\n\r\nhalf")), Denied)


@pytest.mark.parametrize("play", [hangs, drips], ids=["no answer", "one byte at a time"])
async def test_the_time_out_covers_the_whole_exchange(play: Play) -> None:
    async with asyncio.timeout(1.5):
        answer = await answer_to(play, timeout=0.15)
    assert isinstance(answer, Retryable)
    assert answer.reason.endswith("gave no answer within 0.15 s")


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    endless = b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n" + b"x" * (2 << 20)
    assert isinstance(await answer_to(writes(endless), timeout=5), Denied)


async def test_a_connection_closed_while_idle_is_replaced_at_once() -> None:
    async with HttpReceiver() as receiver, sink_to(receiver.url) as sink:
        receiver.answer(says(200), resets_after(b""), says(200))
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
    assert [request.connection for request in receiver.requests] == [1, 1, 2]


async def test_it_is_replaced_only_once() -> None:
    async with HttpReceiver() as receiver, sink_to(receiver.url) as sink:
        receiver.answer(says(200), resets_after(b""), resets_after(b""), says(200))
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
        assert isinstance(await sink.send(Signal.TRACES, PAYLOAD), Retryable)
    assert len(receiver.requests) == 3


async def test_a_fresh_connection_that_breaks_is_not_tried_again() -> None:
    async with HttpReceiver().answer(resets_after(b"")) as receiver, sink_to(receiver.url) as sink:
        assert isinstance(await sink.send(Signal.TRACES, PAYLOAD), Retryable)
    assert len(receiver.requests) == 1


async def test_something_that_is_not_http() -> None:
    answer = await answer_to(writes(b"220 mail.example ESMTP\r\n\r\n"))
    assert isinstance(answer, Denied)
    assert "does not speak HTTP" in answer.reason


async def test_the_grpc_port_is_no_http_port() -> None:
    async with GrpcReceiver() as receiver, sink_to(receiver.url, timeout=1) as sink:
        assert isinstance(await sink.send(Signal.TRACES, PAYLOAD), Denied | Retryable)


@pytest.mark.parametrize("status", [200, 302, 400, 401, 404, 413, 503])
async def test_no_answer_repeats_a_secret(status: int) -> None:
    said = b"bad key s3cr3t-key for Basic dXNlcjpwYXNz, user hunter2 token=t0psecret"
    async with HttpReceiver().answer(says(status, said, location="/x/s3cr3t-key")) as receiver:
        url = f"http://user:hunter2@127.0.0.1:{receiver.port}/in?token=t0psecret"
        headers = {"api-key": "s3cr3t-key", "authorization": "Basic dXNlcjpwYXNz", "x-experiment": "0"}
        endpoint = Endpoint(url=url, headers=headers)
        sink = open_sink(endpoint, None)
        answer = await sink.send(Signal.TRACES, PAYLOAD)
        await sink.close()
    assert not [
        secret for secret in ("s3cr3t-key", "dXNlc", "hunter2", "t0psecret") if secret in repr((answer, endpoint))
    ]
    assert "***" in repr(answer)


async def test_credentials_in_the_url_become_basic_auth() -> None:
    async with HttpReceiver() as receiver, sink_to(f"http://user:p%40ss@127.0.0.1:{receiver.port}") as sink:
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
    assert receiver.requests[0].headers["authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
async def test_a_proxy_is_asked_unless_the_backend_is_excepted(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    async with HttpReceiver() as proxy:
        monkeypatch.setenv(name, proxy.url)
        async with sink_to("http://user:p%40ss@otlp.test:4318", headers={"X-Team": "blue"}) as sink:
            assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
        monkeypatch.setenv("NO_PROXY", "otlp.test")
        async with sink_to("http://otlp.test:4318") as sink:
            assert isinstance(await sink.send(Signal.TRACES, PAYLOAD), Retryable)
    (asked,) = proxy.requests
    assert (asked.path, asked.body) == ("http://otlp.test:4318/v1/traces", PAYLOAD)
    assert (asked.headers["x-team"], asked.headers["authorization"]) == ("blue", "Basic dXNlcjpwQHNz")


@pytest.mark.parametrize(
    "play",
    [
        says(200),
        says(204),
        says(200, b"<html>"),
        says(302, location="http://elsewhere.test/"),
        says(401),
        says(413),
        says(503, b"busy", retry_after="17"),
        resets_after(b""),
        resets_after(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"),
        resets_after(b"HTTP/1.1 401 No\r\ncontent-length: 100\r\n\r\nhalf"),
        writes(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope"),
        writes(b"HTTP/1.1 401 No\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nnope"),
        writes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno size\r\n"),
        writes(b"220 mail.example ESMTP\r\n\r\n"),
    ],
)
async def test_the_same_comes_of_an_answer_through_a_proxy(monkeypatch: pytest.MonkeyPatch, play: Play) -> None:
    straight = await answer_to(play)
    async with HttpReceiver().answer(play) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with sink_to("http://otlp.test:4318") as sink:
            through = await sink.send(Signal.TRACES, PAYLOAD)
    assert type(straight) is type(through)
    assert getattr(straight, "retry_after", None) == getattr(through, "retry_after", None)


async def test_a_proxys_connection_closed_while_idle_is_replaced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with HttpReceiver() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with sink_to("http://otlp.test:4318") as sink:
            proxy.answer(says(200), resets_after(b""), says(200))
            assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
            assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
    assert [request.connection for request in proxy.requests] == [1, 1, 2]


def test_a_proxy_that_is_none_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "ftp://proxy.test")
    with pytest.raises(SettingsError, match=r"proxy of HTTP_PROXY.* cannot be used"):
        open_sink(Endpoint(url="http://otlp.test:4318/v1/traces"), None)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("", "/"),
        ("?key=a%2Bb%41/%2f", "/?key=a%2Bb%41/%2f"),
        ("/v1/a b/\u00e9?\u00e9", "/v1/a%20b/%C3%A9?%C3%A9"),
        ("/x#fragment", "/x"),
    ],
)
async def test_what_is_asked_for_is_encoded_and_otherwise_as_it_was_written(url: str, target: str) -> None:
    async with HttpReceiver() as receiver:
        sink = open_sink(Endpoint(url=f"{receiver.url}{url}"), None)
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
        await sink.close()
    assert receiver.requests[0].path == target


async def test_how_long_a_request_is_is_not_for_the_settings_to_say() -> None:
    headers = {"Content-Length": "3", "transfer-encoding": "chunked", "host": "otlp.test"}
    async with HttpReceiver() as receiver, sink_to(receiver.url, headers=headers) as sink:
        assert await sink.send(Signal.TRACES, PAYLOAD) == Accepted()
    assert (receiver.requests[0].body, receiver.requests[0].headers["host"]) == (PAYLOAD, "otlp.test")
    assert "transfer-encoding" not in receiver.requests[0].headers


async def test_a_signal_without_endpoint_is_denied() -> None:
    sink = open_sink(None, None)
    assert await sink.send(Signal.TRACES, PAYLOAD) == Denied("no endpoint is set up for traces")
    assert await sink.send(Signal.LOGS, PAYLOAD) == Denied("no endpoint is set up for logs")


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://h/v1/traces", "http://", "http://[::1"])
def test_a_url_that_can_never_work_is_a_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="OTLP endpoint"):
        open_sink(Endpoint(url=url), None)


@pytest.mark.parametrize(
    ("name", "value"), [("a b", "x"), ("", "x"), ("x", "sec\nret"), ("x", "sécret"), ("x", " sec")]
)
def test_a_header_that_cannot_be_sent_is_a_setting(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Endpoint(url="http://localhost:4318", headers={name: value})
    assert "sec" not in str(caught.value)


def http_date(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC), usegmt=True)
