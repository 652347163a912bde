"""A batch on its way: spans, then the log events about them, and what becomes of it when something goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from export_samples import RESOURCE, log_event, span
from measuring import alone
from receivers import HttpReceiver, says
from structlog.testing import capture_logs

from bridge.export.encode import encode_batches
from bridge.export.endpoint import Endpoint
from bridge.export.examples import Examples
from bridge.export.logs import encode_log_batches
from bridge.export.sink import open_sink
from bridge.ledger.ledger import Ledger
from bridge.ledger.open import open_ledger
from bridge.map.telemetry import Example, Measurement, Telemetry
from bridge.observe import SelfMetrics
from bridge.sweep.outbox import Outbox
from bridge.sweep.sender import BackendWaiting, Sender

SPANS = tuple(span(number) for number in (1, 2))
EVENTS = tuple(log_event(number) for number in (1, 2, 3))


class Way:
    """A sender between a real ledger file and a real receiver."""

    def __init__(self, sender: Sender, ledger: Ledger, metrics: SelfMetrics, examples: Examples) -> None:
        self.sender = sender
        self.ledger = ledger
        self.examples = examples
        self._metrics = metrics

    def counted(self, name: str) -> dict[str, float]:
        """Outcome → how many, zeros left out."""
        return {
            point.attributes[0].value.string_value: point.as_int
            for part in self._metrics.message().resource_metrics
            for scope in part.scope_metrics
            for metric in scope.metrics
            if metric.name == f"letta_bridge.{name}"
            for point in metric.sum.data_points
            if point.as_int
        }

    async def counted_steps(self) -> float:
        return sum(total.sum for total in (await self.ledger.totals()).values())


@asynccontextmanager
async def way(folder: Path, receiver: HttpReceiver) -> AsyncIterator[Way]:
    traces, logs = (Endpoint(url=f"{receiver.url}/v1/{signal}") for signal in ("traces", "logs"))
    sink = open_sink(traces, None, logs)
    ledger = await open_ledger(str(folder / "ledger"), source="letta", destination="default", now=0)
    metrics = SelfMetrics()
    encoders = partial(encode_batches, resource=RESOURCE), partial(encode_log_batches, resource=RESOURCE)
    try:
        examples = Examples()
        yield Way(Sender(sink, ledger, *encoders, metrics, examples=examples), ledger, metrics, examples)
    finally:
        await sink.close()
        await ledger.close()


def outbox(*, spans: bool = True, events: bool = True) -> Outbox:
    made = Outbox()
    telemetry = Telemetry(
        SPANS if spans else (), (alone(Measurement("letta.steps", (), 1)),), events=EVENTS if events else ()
    )
    made.add_loose_step("step-1", telemetry, at=1.0)
    return made


@pytest.fixture
async def receiver() -> AsyncIterator[HttpReceiver]:
    async with HttpReceiver() as made:
        yield made


@pytest.fixture
def said() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]


def paths(receiver: HttpReceiver) -> list[str]:
    return [request.path for request in receiver.requests]


async def test_log_events_leave_after_the_spans_that_they_are_about(tmp_path: Path, receiver: HttpReceiver) -> None:
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        await bridge.sender.send(outbox())
        assert paths(receiver) == ["/v1/traces", "/v1/logs"]
        assert len(receiver.requests[1].log_records()) == 3
        assert await bridge.ledger.in_flight() is None
        assert await bridge.counted_steps() == 1
        assert bridge.sender.take_accepted() == 2, "of spans"
        assert (bridge.counted("spans"), bridge.counted("log_events")) == ({"accepted": 2}, {"accepted": 3})


async def test_events_alone_are_put_aside_sent_and_committed(tmp_path: Path, receiver: HttpReceiver) -> None:
    receiver.answer(says(503))
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        with pytest.raises(BackendWaiting):
            await bridge.sender.send(outbox(spans=False))
        aside = await bridge.ledger.in_flight()
        assert aside
        assert (aside.payloads, aside.logs) == ((), (receiver.requests[0].body,))
        assert await bridge.counted_steps() == 0
        await bridge.sender.finish()
        assert await bridge.ledger.in_flight() is None
        assert await bridge.counted_steps() == 1
    assert paths(receiver) == ["/v1/logs", "/v1/logs"]


async def test_after_a_crash_both_are_sent_again_byte_for_byte(tmp_path: Path, receiver: HttpReceiver) -> None:
    receiver.answer(says(200), says(503))
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        with pytest.raises(BackendWaiting):
            await bridge.sender.send(outbox())
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        assert await bridge.counted_steps() == 1
    assert paths(receiver) == ["/v1/traces", "/v1/logs"] * 2
    first, second, again_first, again_second = (request.body for request in receiver.requests)
    assert (again_first, again_second) == (first, second)


async def test_while_logs_wait_the_spans_before_them_are_not_sent_again(
    tmp_path: Path, receiver: HttpReceiver
) -> None:
    receiver.answer(says(200), says(503), says(200))
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        with pytest.raises(BackendWaiting):
            await bridge.sender.send(outbox())
        await bridge.sender.finish()
    assert paths(receiver) == ["/v1/traces", "/v1/logs", "/v1/logs"]


async def test_of_a_batch_that_was_taken_in_part_only_the_rest_is_sent_again(
    tmp_path: Path, receiver: HttpReceiver
) -> None:
    receiver.answer(says(413), says(200), says(503))
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        with pytest.raises(BackendWaiting):
            await bridge.sender.send(outbox(events=False))
        await bridge.sender.finish()
        assert bridge.counted("spans") == {"accepted": 2}
    assert [[one.name for one in request.spans()] for request in receiver.requests[1:]] == [
        ["chat 1"],
        ["chat 2"],
        ["chat 2"],
    ]


@pytest.mark.parametrize("status", [404, 405])
async def test_a_backend_without_logs_costs_the_events_alone_and_that_is_said_once(
    status: int, tmp_path: Path, receiver: HttpReceiver, said: list[dict[str, object]]
) -> None:
    receiver.answer(*[says(200), says(status)] * 2)
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        for _ in range(2):
            await bridge.sender.send(outbox())
        assert await bridge.counted_steps() == 2
        assert await bridge.ledger.dead_letter_count() == 0
        assert (bridge.counted("spans"), bridge.counted("log_events")) == ({"accepted": 4}, {"unsupported": 6})
    (line,) = said
    assert "OTEL_LOGS_EXPORTER=none" in str(line["event"])
    assert "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" in str(line["event"])
    assert f"/v1/logs answered {status}" in str(line["reason"])


async def test_a_key_that_may_not_write_logs_is_waited_for(tmp_path: Path, receiver: HttpReceiver) -> None:
    receiver.answer(says(200), says(403))
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        with pytest.raises(BackendWaiting, match=r"/v1/logs answered 403: .*OTEL_LOGS_EXPORTER=none"):
            await bridge.sender.send(outbox())
        await bridge.sender.finish()
        assert bridge.counted("log_events") == {"accepted": 3}


async def test_spans_wait_where_nothing_takes_them(tmp_path: Path, receiver: HttpReceiver) -> None:
    receiver.answer(says(404))
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        with pytest.raises(BackendWaiting, match="/v1/traces answered 404") as waiting:
            await bridge.sender.send(outbox())
        assert "LOGS" not in str(waiting.value)
        await bridge.sender.finish()
        assert bridge.counted("spans") == {"accepted": 2}


async def test_a_refused_event_is_a_dead_letter_and_the_rest_goes_on(
    tmp_path: Path, receiver: HttpReceiver, said: list[dict[str, object]]
) -> None:
    #               spans      events     1 alone    an empty   1 again    2 and 3
    receiver.answer(says(200), says(400), says(400), says(200), says(400), says(200))
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        await bridge.sender.send(outbox())
        (kept,) = await bridge.ledger.dead_letters()
        assert (kept.letter.kind, kept.letter.source) == ("event", EVENTS[0].span_id.hex())
        assert bridge.counted("log_events") == {"accepted": 2, "dead": 1}
    kept_as = "it is kept as dead letter: `bridge dead-letters` shows it and sends it again"
    assert [(line["event"], line["kind"], line["log_level"]) for line in said] == [
        (f"the backend refused this for good, {kept_as}", "event", "error")
    ]


async def test_an_endpoint_that_refuses_everything_loses_nothing(tmp_path: Path, receiver: HttpReceiver) -> None:
    receiver.answer(*[says(400, b"no")] * 3)
    async with way(tmp_path, receiver) as bridge:
        await bridge.sender.finish()
        with pytest.raises(BackendWaiting, match="refuses everything, also an empty request"):
            await bridge.sender.send(outbox())
        await bridge.sender.finish()
        assert await bridge.ledger.dead_letter_count() == 0
        assert (bridge.counted("spans"), bridge.counted("log_events")) == ({"accepted": 2}, {"accepted": 3})


async def test_examples_are_handed_over_when_their_batch_counts(tmp_path: Path, receiver: HttpReceiver) -> None:
    seconds = Measurement("letta.step.duration", (), 0.5, Example(b"t" * 16, b"s" * 8, 7))
    made = Outbox()
    made.add_loose_step("step-1", Telemetry(SPANS, (alone(seconds),)), at=1.0)
    receiver.answer(says(503))
    async with way(tmp_path, receiver) as through:
        await through.sender.finish()
        with pytest.raises(BackendWaiting):
            await through.sender.send(made)
        assert through.examples.taken == 0
        await through.sender.finish()
        assert through.examples.of(("letta.step.duration", ())) == [seconds]
