from __future__ import annotations

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bridge.export import replies
from bridge.export.answers import Accepted, Answer, Denied, PartlyRejected, Signal


def success(body: bytes) -> Answer:
    return replies.success(Signal.TRACES, body, address="http://backend")


@pytest.mark.parametrize("length", range(200))
def test_no_length_makes_protobuf_look_like_text(length: int) -> None:
    """A body begins with a line break and the message's length, which may be that of `{` or `<`."""
    response = ExportTraceServiceResponse()
    response.partial_success.error_message = "x" * length
    assert success(response.SerializeToString()) == Accepted("x" * length)


@pytest.mark.parametrize(
    "body",
    [
        b'{"partialSuccess":1}',
        b'{"partialSuccess":{"rejectedSpans":"many"}}',
        b'{"a":' * 100_000,
        b'{"partialSuccess":{"rejectedSpans":' + b"9" * 5_000 + b"}}",
        b'{"partialSuccess":{"errorMessage":"\\ud800"}}',
        b"null",
        b"\x00",
        b"\x0a\x7f",
    ],
)
def test_a_body_that_cannot_be_read_raises_nothing(body: bytes) -> None:
    assert isinstance(success(body), Denied)


def test_a_negative_count_is_none_at_all() -> None:
    assert success(b'{"partialSuccess":{"rejectedSpans":"-3"}}') == Accepted()


def test_fields_of_a_later_version_are_ignored() -> None:
    assert success(b"\x0a\x02\x08\x02\x92\x01\x03new") == PartlyRejected(2, "no reason given")


def test_a_foreign_text_is_one_short_printable_line() -> None:
    said = replies.refusal(b"no\n\n\x1b[31mway \xff" + b"x" * 1_000)
    assert said.startswith("no [31mway \ufffdxxx")
    assert len(said) == 300


@pytest.mark.parametrize("body", [b"", b" \n", b"<html>Bad Gateway</html>", Status(code=3).SerializeToString()])
def test_no_reason_is_made_up(body: bytes) -> None:
    assert replies.refusal(body) == ""
