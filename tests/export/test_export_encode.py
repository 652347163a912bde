from __future__ import annotations

from collections.abc import Sequence

import pytest
from export_samples import RESOURCE, START, rich_span, span
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans as official_encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode
from receivers import spans_of

from bridge.export.encode import encode_batches, encode_spans
from bridge.export.fields import SCHEMA_URL
from bridge.map import telemetry


def context(trace_id: bytes, span_id: bytes) -> SpanContext:
    return SpanContext(int.from_bytes(trace_id, "big"), int.from_bytes(span_id, "big"), is_remote=False)


def official(spans: Sequence[telemetry.Span], resource: Resource) -> bytes:
    scope = InstrumentationScope("letta-otel-bridge", "1.2.3", SCHEMA_URL)
    return official_encode_spans([as_sdk(span, resource, scope) for span in spans]).SerializeToString()


def as_sdk(one: telemetry.Span, resource: Resource, scope: InstrumentationScope) -> ReadableSpan:
    return ReadableSpan(
        name=one.name,
        context=context(one.trace_id, one.span_id),
        parent=context(one.trace_id, one.parent_id) if one.parent_id else None,
        resource=resource,
        attributes=one.attributes,
        events=[Event(event.name, event.attributes, event.time_ns) for event in one.events],
        links=[Link(context(link.trace_id, link.span_id), link.attributes) for link in one.links],
        kind=SpanKind[one.kind.name],
        status=Status(StatusCode[one.status.name], one.status_message or None),
        start_time=one.start_ns,
        end_time=one.end_ns,
        instrumentation_scope=scope,
    )


def first(payload: bytes) -> SpanMessage:
    return spans_of(payload)[0]


def values(message: SpanMessage) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "") for pair in message.attributes}


def test_the_bytes_are_those_of_the_official_encoder() -> None:
    spans = [rich_span(), span(8), span(9, attributes={})]
    assert encode_spans(spans, RESOURCE, version="1.2.3") == official(spans, RESOURCE)


def test_a_batch_has_the_same_bytes_too() -> None:
    spans = [rich_span(), span(8)]
    assert encode_batches(spans, RESOURCE, version="1.2.3") == (official(spans, RESOURCE),)


def test_nothing_to_send_is_no_batch() -> None:
    assert encode_batches([], RESOURCE) == ()


def test_batches_are_capped_by_count_and_keep_the_order() -> None:
    batches = encode_batches((span(number) for number in range(1, 8)), RESOURCE, max_spans=3)
    assert [[int.from_bytes(one.span_id, "big") for one in spans_of(batch)] for batch in batches] == [
        [1, 2, 3],
        [4, 5, 6],
        [7],
    ]


@pytest.mark.parametrize("max_bytes", [400, 1_000, 3_333, 20_000])
def test_batches_are_capped_by_bytes_and_lose_nothing(max_bytes: int) -> None:
    spans = [span(number, attributes={"text": "x" * (number * 37 % 150)}) for number in range(1, 60)]
    batches = encode_batches(spans, RESOURCE, max_bytes=max_bytes)
    assert max(len(batch) for batch in batches) <= max_bytes
    assert [one.name for batch in batches for one in spans_of(batch)] == [one.name for one in spans]


def test_bytes_are_used_well() -> None:
    spans = [span(number) for number in range(1, 1_000)]
    batches = encode_batches(spans, RESOURCE, max_spans=1_000, max_bytes=10_000)
    assert min(len(batch) for batch in batches[:-1]) > 9_000


def test_a_span_too_long_by_itself_goes_alone() -> None:
    long = span(2, attributes={"text": "x" * 5_000})
    batches = encode_batches([span(1), long, span(3)], RESOURCE, max_bytes=1_000)
    assert [len(spans_of(batch)) for batch in batches] == [1, 1, 1]


def test_each_batch_carries_the_resource_and_the_scope() -> None:
    for batch in encode_batches([span(1), span(2)], RESOURCE, max_spans=1):
        group = ExportTraceServiceRequest.FromString(batch).resource_spans[0]
        assert [pair.key for pair in group.resource.attributes] == ["service.name", "host.cpus", "tags"]
        assert group.schema_url == "https://example.test/schema"
        assert group.scope_spans[0].scope.name == "letta-otel-bridge"
        assert group.scope_spans[0].schema_url == "https://opentelemetry.io/schemas/1.41.1"


def test_lone_surrogates_are_replaced_wherever_text_can_be() -> None:
    bad = "a\ud800b"
    message = first(
        encode_spans(
            [
                span(
                    name=bad,
                    status_message=bad,
                    attributes={"text": bad, bad: "key", "list": ("ok", bad)},
                    events=(telemetry.Event(bad, START, {"e": bad}),),
                    links=(telemetry.Link(b"t" * 16, b"s" * 8, {"l": bad}),),
                )
            ],
            RESOURCE,
        )
    )
    assert message.name == message.status.message == message.events[0].name == "a�b"
    assert values(message)["text"] == "a�b"
    assert values(message)["a�b"] == "key"
    assert [item.string_value for item in message.attributes[2].value.array_value.values] == ["ok", "a�b"]
    assert message.events[0].attributes[0].value.string_value == "a�b"
    assert message.links[0].attributes[0].value.string_value == "a�b"


def test_a_surrogate_pair_becomes_the_character_it_means() -> None:
    assert first(encode_spans([span(name="\ud83d\ude00")], RESOURCE)).name == "😀"


def test_integers_past_64_bits_become_text() -> None:
    attributes = {"big": 2**63, "small": -(2**63) - 1, "fits": 2**63 - 1}
    message = first(encode_spans([span(attributes=attributes)], RESOURCE))
    assert values(message) == {"big": str(2**63), "small": str(-(2**63) - 1), "fits": 2**63 - 1}


@pytest.mark.parametrize(
    "value",
    [None, {"a": 1}, 10**5_000, object(), ("ok", None)],
    ids=["null", "dictionary", "endless integer", "object", "null in a list"],
)
def test_what_otlp_cannot_hold_is_left_out_and_counted(value: object) -> None:
    bad = span(attributes={"before": 1, "bad": value, "after": "x"})
    message = first(encode_spans([bad], RESOURCE))
    assert values(message) == {"before": 1, "after": "x"}
    assert message.dropped_attributes_count == 1


def test_times_are_held_within_what_backends_store() -> None:
    message = first(encode_spans([span(start_ns=-5, end_ns=2**70)], RESOURCE))
    assert (message.start_time_unix_nano, message.end_time_unix_nano) == (0, 2**63 - 1)


def test_a_span_never_ends_before_it_starts() -> None:
    message = first(encode_spans([span(start_ns=START, end_ns=START - 1)], RESOURCE))
    assert message.end_time_unix_nano == START


def test_a_bad_span_leaves_its_neighbours_alone() -> None:
    bad = span(2, name="\udfff", start_ns=-1, attributes={"big": 2**200})
    (batch,) = encode_batches([span(1), bad, span(3)], RESOURCE)
    alone = [encode_spans([span(number)], RESOURCE) for number in (1, 3)]
    messages = spans_of(batch)
    assert [messages[0], messages[2]] == [first(one) for one in alone]
