from __future__ import annotations

import io
import os

from export_samples import RESOURCE, log_event, payload, rich_span, span

from bridge.export.answers import Accepted, Denied, Signal
from bridge.export.console import ConsoleSink
from bridge.export.encode import encode_spans
from bridge.export.gauges import gauge_points
from bridge.export.logs import encode_log_batches
from bridge.export.metrics import Counted, metrics_request
from bridge.ledger.figures import OpenRuns
from bridge.map.instruments import CATALOGUE
from bridge.map.series import SeriesKey
from bridge.map.totals import Total


async def test_every_field_of_a_span_can_be_read() -> None:
    stream = io.StringIO()
    assert await ConsoleSink(stream).send(Signal.TRACES, encode_spans([rich_span()], RESOURCE)) == Accepted()
    assert stream.getvalue() == (
        "2025-10-09T08:53:20.000Z chat gpt-4o 0.007s client error 'overloaded'"
        " trace=00000000000000000000000000000001 span=0000000000000007 parent=706172656e742323\n"
        "    text = 'naïve ☃ 😀'\n"
        "    yes = True\n"
        "    count = -9223372036854775808\n"
        "    ratio = 0.25\n"
        "    list = ['stop', '']\n"
        "    nothing = []\n"
        "    empty = ''\n"
        "    event exception at 2025-10-09T08:53:20.000Z\n"
        "        exception.type = 'LLMServerError'\n"
        "    event bare at 2025-10-09T08:53:20.000Z\n"
        "    link trace=74747474747474747474747474747474 span=7373737373737373\n"
        "        why = 'approval'\n"
        "    link trace=75757575757575757575757575757575 span=7676767676767676\n"
    )


async def test_a_span_without_more_is_one_line() -> None:
    stream = io.StringIO()
    await ConsoleSink(stream).send(
        Signal.TRACES, encode_spans([span(attributes={}), span(2, attributes={})], RESOURCE)
    )
    first, second = stream.getvalue().splitlines()
    assert first.endswith("chat 1 0.001s client unset trace=" + f"{1:032x} span={1:016x} parent=-")
    assert "chat 2" in second


async def test_nothing_in_a_span_can_move_the_cursor() -> None:
    stream = io.StringIO()
    evil = "a\x1b[2J\x9b\u202e\nb"
    spans = [span(name=evil, status_message=evil, attributes={evil: evil})]
    await ConsoleSink(stream).send(Signal.TRACES, encode_spans(spans, RESOURCE))
    assert [line for line in stream.getvalue().split("\n") if not line.isprintable()] == []
    assert stream.getvalue().count("\n") == 2


async def test_a_log_event_can_be_read() -> None:
    stream = io.StringIO()
    events = [log_event(), log_event(2, time_ns=10**9, severity=17, attributes={})]
    assert await ConsoleSink(stream).send(Signal.LOGS, encode_log_batches(events, RESOURCE)[0]) == Accepted()
    assert stream.getvalue() == (
        "2025-10-09T08:53:20.000Z event letta.run.changed INFO 'run 1 changed'"
        " trace=00000000000000000000000000000001 span=0000000000000001\n"
        "    letta.run.id = 'run-1'\n"
        "1970-01-01T00:00:01.000Z event letta.run.changed ERROR 'run 2 changed'"
        " trace=00000000000000000000000000000001 span=0000000000000002\n"
    )


async def test_nothing_in_a_log_event_can_move_the_cursor() -> None:
    stream = io.StringIO()
    evil = "a\x1b[2J\x9b\u202e\nb"
    events = [log_event(name=evil, body=evil, attributes={evil: evil})]
    await ConsoleSink(stream).send(Signal.LOGS, encode_log_batches(events, RESOURCE)[0])
    assert [line for line in stream.getvalue().split("\n") if not line.isprintable()] == []
    assert stream.getvalue().count("\n") == 2


async def test_metrics_are_a_line_a_point() -> None:
    stream = io.StringIO()
    name = "letta.step.duration"
    totals: dict[SeriesKey, Total] = {
        ("letta.steps", (("letta.step.status", "failed"),)): Total(sum=2),
        (name, ()): Total(sum=2.5, count=2, buckets=(2,) + (0,) * len(CATALOGUE[name].bounds)),
    }
    gauges = OpenRuns(by_status={}, oldest_created_ns=None, awaiting_approval=3)
    counted = {key: Counted(total, 1) for key, total in totals.items()}
    request = metrics_request(counted, gauge_points(gauges, (), now_ns=2), now_ns=2, resource=RESOURCE)
    await ConsoleSink(stream).send(Signal.METRICS, request.SerializeToString())
    assert stream.getvalue().splitlines()[:2] == [
        "letta.steps{letta.step.status='failed'} 2 {step}",
        "letta.step.duration{} count=2 sum=2.5 s",
    ]
    assert stream.getvalue().splitlines()[-1] == "letta.approvals.waiting{} 3 {run}"


async def test_a_terminal_that_knows_only_ascii_gets_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    assert await ConsoleSink(stream).send(Signal.TRACES, encode_spans([span(name="☃")], RESOURCE)) == Accepted()
    assert b"\\u2603" in raw.getvalue()


async def test_nobody_reads_on() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with io.TextIOWrapper(io.FileIO(writing, "w"), write_through=True) as stream:
        answer = await ConsoleSink(stream).send(Signal.TRACES, payload(1))
    assert answer == Denied("the output cannot be written: Broken pipe")
