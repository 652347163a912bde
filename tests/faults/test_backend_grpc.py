"""What an OTLP backend over gRPC can do wrong, on a real socket."""

from __future__ import annotations

from typing import Any

import pytest
from bridge_world import World, spans_in
from faults.backend import BackendFault, OneBadSpan, backend, everything, several
from faults.lines import Lines
from faults.promise import assert_promise, survived, waited
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from receivers import Fails, Hangs

TOO_LARGE = Fails(StatusCode.RESOURCE_EXHAUSTED, "grpc: received message larger than max (5000000 vs. 4194304)")


def fault(kind: str, *values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.fault("backend", f"gRPC {kind}"), id=kind)


def retry_info(seconds: int) -> Fails:
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=seconds)))
    status = Status(code=8, message="quota", details=[detail])
    trailing = [("grpc-status-details-bin", status.SerializeToString())]
    return Fails(StatusCode.RESOURCE_EXHAUSTED, "quota", trailing)


PASSING = [
    fault("RESOURCE_EXHAUSTED with RetryInfo", retry_info(30), "quota"),
    fault("RESOURCE_EXHAUSTED without RetryInfo", Fails(StatusCode.RESOURCE_EXHAUSTED, "queue is full"), "queue"),
    fault("UNAVAILABLE", Fails(StatusCode.UNAVAILABLE, "later"), "UNAVAILABLE"),
    fault("DEADLINE_EXCEEDED", Fails(StatusCode.DEADLINE_EXCEEDED, "slow"), "DEADLINE_EXCEEDED"),
    fault("no answer, ever", Hangs(), "DEADLINE_EXCEEDED"),
    fault("ABORTED", Fails(StatusCode.ABORTED, "raced"), "ABORTED"),
    fault("CANCELLED", Fails(StatusCode.CANCELLED), "CANCELLED"),
    fault("DATA_LOSS", Fails(StatusCode.DATA_LOSS), "DATA_LOSS"),
    fault("OUT_OF_RANGE", Fails(StatusCode.OUT_OF_RANGE), "OUT_OF_RANGE"),
    fault("UNAUTHENTICATED", Fails(StatusCode.UNAUTHENTICATED), "check the key"),
    fault("PERMISSION_DENIED", Fails(StatusCode.PERMISSION_DENIED), "may not write"),
    fault("UNIMPLEMENTED", Fails(StatusCode.UNIMPLEMENTED, "unknown service"), "check the address"),
    fault("INTERNAL to everything", Fails(StatusCode.INTERNAL, "oops"), "oops"),
    fault("INVALID_ARGUMENT to everything", Fails(StatusCode.INVALID_ARGUMENT, "no"), "refuses everything"),
    fault("message too large to everything", TOO_LARGE, "refuses everything"),
]


@pytest.mark.parametrize(("says", "words"), PASSING)
async def test_what_can_succeed_later_waits(world: World, lines: Lines, says: Any, words: str) -> None:
    async with backend(world, "grpc") as receiver, world.bridge() as bridge:
        await waited(world, bridge, receiver.fault(BackendFault(says)))
        await assert_promise(world, bridge)
    lines.assert_one("the backend", words)


ONE_BAD = [
    fault("INVALID_ARGUMENT to one span", Fails(StatusCode.INVALID_ARGUMENT, "bad span"), "bad span"),
    fault("message too large for one span", TOO_LARGE, "larger than max"),
    fault("INTERNAL to one span, always", Fails(StatusCode.INTERNAL, "panic"), "panic"),
]


@pytest.mark.parametrize(("says", "words"), ONE_BAD)
async def test_the_one_bad_span_is_found_and_kept(world: World, lines: Lines, says: Any, words: str) -> None:
    bad = OneBadSpan()
    async with backend(world, "grpc") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(BackendFault(says, on=bad)))
        await assert_promise(world, bridge, letters=1)
        (letter,) = await bridge.ledger.dead_letters()
    (span,) = spans_in(letter.letter.payload)
    assert span.span_id == bad.bad
    assert words in letter.letter.reason
    lines.assert_one("dead letter", words)


@pytest.mark.parametrize(
    "happening",
    [
        fault("INTERNAL once", BackendFault(Fails(StatusCode.INTERNAL, "hiccup"), times=1)),
        fault("message too large, for more than one span", BackendFault(TOO_LARGE, on=several)),
    ],
)
async def test_what_passes_by_itself_is_no_news(world: World, lines: Lines, happening: BackendFault) -> None:
    async with backend(world, "grpc") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(happening))
        await assert_promise(world, bridge)
    lines.assert_quiet()


@pytest.mark.fault("backend", "gRPC: yes, and the call breaks before the yes arrives")
@pytest.mark.parametrize("says", [Fails(StatusCode.UNAVAILABLE, "Socket closed"), Hangs()])
async def test_a_yes_that_never_arrives(world: World, lines: Lines, says: Any) -> None:
    async with backend(world, "grpc") as receiver, world.bridge() as bridge:
        await survived(world, bridge, receiver.fault(BackendFault(says, takes=everything)))
        await assert_promise(world, bridge, twice=True)
    lines.assert_one("the backend")
