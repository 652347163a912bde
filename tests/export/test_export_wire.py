"""The fast way of writing spans gives the bytes of the official encoder; what is not plain goes the other way."""

from __future__ import annotations

from typing import Any

import pytest
from export_samples import RESOURCE, START, log_payload, payload, rich_span, span
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as official_encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from bridge.export.answers import Signal
from bridge.export.encode import encode_spans, encoded, encoded_by_messages
from bridge.export.fields import SCHEMA_URL
from bridge.export.records import count, empty, records
from bridge.export.wire import count_records, plain_span, varint
from bridge.map import telemetry

INT64 = 2**63
FEW = settings(deadline=None, database=None, derandomize=True, max_examples=60)

texts = st.text(max_size=80) | st.text(alphabet="ab-0", min_size=50, max_size=300)
whole_numbers = st.integers(-INT64, INT64 - 1) | st.integers(-300, 300) | st.sampled_from([127, 128, 2**14, 2**21])
attribute_values = (
    texts | st.booleans() | whole_numbers | st.floats(allow_nan=False) | st.lists(texts, max_size=4).map(tuple)
)
attributes = st.dictionaries(texts.filter(bool), attribute_values, max_size=12)


@st.composite
def layered(draw: st.DrawFn) -> tuple[telemetry.Attributes, ...]:
    """Layers of both kinds, no two of which have a name in common."""
    own, shared = draw(attributes), draw(attributes)
    return (telemetry.Layer({name: value for name, value in shared.items() if name not in own}), own)


plain_spans = st.builds(
    telemetry.Span,
    trace_id=st.binary(min_size=16, max_size=16).filter(any),
    span_id=st.binary(min_size=8, max_size=8).filter(any),
    parent_id=st.just(b"") | st.binary(min_size=8, max_size=8).filter(any),
    name=texts,
    kind=st.sampled_from(telemetry.SpanKind),
    start_ns=st.integers(1, START),
    end_ns=st.integers(START, INT64 - 1),
    layers=layered(),
    status=st.sampled_from(telemetry.StatusCode),
    status_message=st.just(""),
    events=st.just(()),
    links=st.just(()),
)
errors = plain_spans.flatmap(
    lambda one: texts.map(lambda text: one._replace(status=telemetry.StatusCode.ERROR, status_message=text))
)
odd_values = (
    st.none() | st.integers() | st.text(st.characters(), max_size=5) | st.dictionaries(texts, texts, max_size=1)
)
odd_spans = plain_spans.flatmap(
    lambda one: st.dictionaries(st.text(st.characters(), max_size=5), odd_values).map(
        lambda more: one._replace(layers=({**one.attributes, **more},))  # type: ignore[dict-item] # odd
    )
)


def official(one: telemetry.Span) -> bytes:
    def context(span_id: bytes) -> SpanContext:
        return SpanContext(int.from_bytes(one.trace_id, "big"), int.from_bytes(span_id, "big"), is_remote=False)

    scope = InstrumentationScope("letta-otel-bridge", "1.2.3", SCHEMA_URL)
    made = ReadableSpan(
        name=one.name,
        context=context(one.span_id),
        parent=context(one.parent_id) if one.parent_id else None,
        resource=RESOURCE,
        attributes=one.attributes,
        kind=SpanKind[one.kind.name],
        status=Status(StatusCode[one.status.name], one.status_message or None),
        start_time=one.start_ns,
        end_time=one.end_ns,
        instrumentation_scope=scope,
    )
    return official_encode_spans([made]).SerializeToString()


@FEW
@given(plain_spans | errors)
def test_a_plain_span_is_byte_for_byte_the_official_encoders(one: telemetry.Span) -> None:
    plain = plain_span(one)
    assert plain is not None
    assert plain == encoded_by_messages(one)
    assert encode_spans([one], RESOURCE, version="1.2.3") == official(one)


@FEW
@given(odd_spans)
def test_an_odd_span_is_what_the_messages_make_of_it(one: telemetry.Span) -> None:
    assert encoded(one) == encoded_by_messages(one)


@pytest.mark.parametrize(
    "changes",
    [
        {"start_ns": 0},
        {"start_ns": -1},
        {"end_ns": START - 1},
        {"end_ns": INT64},
        {"trace_id": b"short"},
        {"span_id": b""},
        {"parent_id": b"x"},
        {"name": "\ud800"},
        {"status_message": "\ud800"},
        {"attributes": {"a": "\ud800"}},
        {"attributes": {"\ud800": "a"}},
        {"attributes": {"a": ("fine", "\ud800")}},
        {"attributes": {"a": INT64}},
        {"attributes": {"a": -INT64 - 1}},
        {"attributes": {"a": None}},
        {"attributes": {"a": ["a list"]}},
        {"attributes": {"a": (1, 2)}},
        {"attributes": {7: "a"}},
        {"events": (telemetry.Event("exception", START),)},
        {"links": (telemetry.Link(b"t" * 16, b"s" * 8),)},
    ],
    ids=repr,
)
def test_what_is_not_plain_is_left_to_the_messages(changes: dict[str, Any]) -> None:
    one = span(**changes)
    assert plain_span(one) is None
    assert encoded(one) == encoded_by_messages(one)


def test_one_value_is_not_taken_for_another_that_equals_it() -> None:
    values = [1, True, 1.0, "1", 0, False, 0.0, ""]
    ones = [span(attributes={"same": value}) for value in (*values, *reversed(values))]
    assert [encoded(one) for one in ones] == [encoded_by_messages(one) for one in ones]


def test_a_layer_is_encoded_once_for_all_its_spans() -> None:
    layer = telemetry.Layer({"letta.run.id": "run-1", "count": 300})
    first, second = (span(number)._replace(layers=(layer, {"own": f"{number}"})) for number in (1, 2))
    assert encoded(first) == encoded_by_messages(first)
    kept = layer.wire
    assert kept
    assert encoded(second) == encoded_by_messages(second)
    assert layer.wire is kept


def test_a_layer_that_is_not_plain_is_left_to_the_messages_each_time() -> None:
    one = span()._replace(layers=(telemetry.Layer({"a": "\ud800"}),))
    assert [plain_span(one), plain_span(one)] == [None, None]
    assert encoded(one) == encoded_by_messages(one)


@FEW
@given(st.integers(0, 2**64 - 1))
def test_a_varint_reads_back(number: int) -> None:
    groups = varint(number)
    assert sum((byte & 0x7F) << 7 * at for at, byte in enumerate(groups)) == number
    assert [byte >> 7 for byte in groups] == [*[1] * (len(groups) - 1), 0]


@pytest.mark.parametrize("number", [1, 2, 300])
def test_records_are_counted_without_reading_them(number: int) -> None:
    for signal, request in ((Signal.TRACES, payload(number)), (Signal.LOGS, log_payload(number))):
        assert count(signal, request) == count_records(request) == number
        assert count(signal, empty(signal, request)) == 0


def test_records_of_all_services_are_counted() -> None:
    spans = [span(number, attributes={"gen_ai.agent.id": f"agent-{number % 3}"}) for number in range(1, 8)]
    assert count_records(encode_spans(spans, Resource({}), per_agent=True)) == 7


@pytest.mark.parametrize("cut", [1, 7, 60, -1])
def test_a_damaged_request_is_not_counted(cut: int) -> None:
    with pytest.raises(DecodeError):
        count(Signal.TRACES, payload(3)[:cut])


def test_a_request_of_another_make_is_counted_by_its_messages() -> None:
    odd = b"\x10\x07" + encode_spans([rich_span()], RESOURCE)  # a field that is no message, and that nobody knows
    with pytest.raises(ValueError, match="not a request"):
        count_records(odd)
    assert count(Signal.TRACES, odd) == len(records(Signal.TRACES, odd)) == 1
