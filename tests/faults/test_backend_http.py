"""What an OTLP backend over HTTP can do wrong, on a real socket."""

from __future__ import annotations

from typing import Any

import pytest
from bridge_world import START, World, spans_in
from faults.backend import BackendFault, OneBadSpan, backend, everything, several
from faults.lines import Lines
from faults.promise import assert_promise, drained, play, survived, ticks, waited
from faults.wire import closes_after
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from receivers import drips, hangs, resets_after, says

HTML = {"content_type": "text/html"}
BEFORE_NOW = "Fri, 15 Jan 2027 08:00:00 GMT"
LATER = "Fri, 15 Jan 2027 08:01:00 GMT"


def fault(kind: str, *values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.fault("backend", kind), id=kind)


def partly(rejected: int, message: str = "") -> bytes:
    partial = ExportTracePartialSuccess(rejected_spans=rejected, error_message=message)
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


PASSING = [
    fault("a reset before the answer", resets_after(b""), "127.0.0.1"),
    fault("a reset in the body of the answer", resets_after(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\x0a"), ""),
    fault("no answer, ever", hangs, "gave no answer within"),
    fault("an answer byte by byte", drips, "gave no answer within"),
    fault("301", says(301, location="http://127.0.0.1:1/v1/traces"), "redirects are not followed"),
    fault("307", says(307, location="/v1/traces"), "redirects are not followed"),
    fault("400 to everything", says(400, b"no", "text/plain"), "refuses everything"),
    fault("401", says(401), "check the key"),
    fault("402", says(402), "402"),
    fault("403", says(403), "may not write"),
    fault("404", says(404), "check the path"),
    fault("405", says(405), "check the path"),
    fault("408", says(408), "408"),
    fault("413 to everything", says(413), "refuses everything"),
    fault("415", says(415), "415"),
    fault("429", says(429), "429"),
    fault("429 with Retry-After in seconds", says(429, retry_after="30"), "429"),
    fault("429 with Retry-After as a date", says(429, retry_after=LATER, date=BEFORE_NOW), "429"),
    fault("500", says(500), "500"),
    fault("502", says(502, b"<html>bad gateway</html>", **HTML), "502"),
    fault("503", says(503), "503"),
    fault("503 with an id of its own each time", says(503, b"request 4f1a failed", "text/plain"), "503"),
    fault("504", says(504), "504"),
    fault("a page with 200", says(200, b"<html>welcome</html>", **HTML), "a web page"),
    fault("garbage with 200", says(200, b"hello", "text/plain"), "no OTLP endpoint"),
    fault("something that speaks no HTTP", closes_after(b"SSH-2.0-OpenSSH_9.6\r\n"), "127.0.0.1"),
]


@pytest.mark.parametrize(("play_", "words"), PASSING)
async def test_what_can_succeed_later_waits(world: World, lines: Lines, play_: Any, words: str) -> None:
    async with backend(world, "http/protobuf") as receiver, world.bridge() as bridge:
        await waited(world, bridge, receiver.fault(BackendFault(play_)))
        await assert_promise(world, bridge)
    lines.assert_one("the backend", words)


ONE_BAD = [
    fault("400 to one span", says(400, b"bad span", "text/plain"), "bad span"),
    fault("413 to one span", says(413), "413"),
    fault("422 to one span", says(422), "422"),
]


@pytest.mark.parametrize(("play_", "words"), ONE_BAD)
async def test_the_one_bad_span_is_found_and_kept(world: World, lines: Lines, play_: Any, words: str) -> None:
    bad = OneBadSpan()
    async with backend(world, "http/protobuf") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(BackendFault(play_, on=bad)))
        await assert_promise(world, bridge, letters=1)
        (letter,) = await bridge.ledger.dead_letters()
    (span,) = spans_in(letter.letter.payload)
    assert span.span_id == bad.bad
    assert words in letter.letter.reason
    lines.assert_one("dead letter", words)


@pytest.mark.fault("backend", "partial_success with a message only")
async def test_a_message_beside_the_yes(world: World, lines: Lines) -> None:
    warns = BackendFault(says(200, partly(0, "this endpoint is old, set another")), takes=everything)
    async with backend(world, "http/protobuf") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(warns))
        await assert_promise(world, bridge)
    lines.assert_one("the backend took what was sent", "this endpoint is old")


@pytest.mark.fault("backend", "partial_success with rejected_spans only")
async def test_some_rejected_nobody_says_which(world: World, lines: Lines) -> None:
    drops_one = BackendFault(says(200, partly(1)), on=several, takes=lambda spans: spans[1:], times=1)
    async with backend(world, "http/protobuf") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(drops_one))
        await assert_promise(world, bridge, letters=1)
        (letter,) = await bridge.ledger.dead_letters()
    assert letter.letter.kind == "spans"
    lines.assert_one("dead letter", "1 of")


@pytest.mark.fault("backend", "partial_success with all rejected: too large, by one receiver's words")
async def test_all_of_several_rejected(world: World, lines: Lines) -> None:
    async with backend(world, "http/protobuf") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(BackendFault(says(200, partly(10_000)), on=several)))
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("backend", "partial_success with a single span rejected")
async def test_the_span_that_stood_alone_is_rejected(world: World, lines: Lines) -> None:
    bad = OneBadSpan()
    async with backend(world, "http/protobuf") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(BackendFault(says(200, partly(10_000, "odd")), on=bad)))
        await assert_promise(world, bridge, letters=1)
    lines.assert_one("dead letter", "odd")


@pytest.mark.fault("backend", "413 to more than one span")
async def test_requests_that_are_too_large_are_halved(world: World, lines: Lines) -> None:
    async with backend(world, "http/protobuf") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(BackendFault(says(413), on=several)))
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("backend", "yes, and the connection drops before the yes arrives")
@pytest.mark.parametrize("arrived", [b"", b"HTTP/1.1 200 O", b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"])
async def test_a_yes_that_never_arrives(world: World, lines: Lines, arrived: bytes) -> None:
    async with backend(world, "http/protobuf") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(BackendFault(resets_after(arrived), takes=everything)))
        await assert_promise(world, bridge, twice=True)
    lines.assert_one("the backend")


@pytest.mark.fault("backend", "refused: it is down, and comes back")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_backend_that_restarts(world: World, lines: Lines, protocol: Any) -> None:
    play(world, "tool_ok", "multi_step", at=START - 2)
    async with backend(world, protocol) as receiver, world.bridge() as bridge:
        await ticks(world, bridge, 2)
        await receiver.hang_up()
        play(world, "text", "llm_500")
        await ticks(world, bridge, 10)
        await receiver.listen()
        await drained(world, bridge)
        await assert_promise(world, bridge)
    lines.assert_one("the backend", "Connection refused" if protocol == "http/protobuf" else "UNAVAILABLE")


@pytest.mark.fault("backend", "it is down while the bridge restarts")
@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
async def test_a_restart_of_the_bridge_while_the_backend_is_away(world: World, lines: Lines, protocol: Any) -> None:
    play(world, "tool_ok", "multi_step", at=START - 2)
    async with backend(world, protocol) as receiver:
        await receiver.hang_up()
        async with world.bridge() as bridge:
            await ticks(world, bridge, 6)
        await receiver.listen()
        async with world.bridge() as bridge:
            await drained(world, bridge)
            await assert_promise(world, bridge)
