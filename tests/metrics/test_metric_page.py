"""What the page and the backend see besides the totals: the last failures, examples, and that a metric is full."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bridge_world import START, RecordingSink, World
from measuring import alone
from metric_points import Key, Seen, of_letta, points
from opentelemetry.sdk.resources import Resource
from structlog.testing import capture_logs

from bridge.demo import recording
from bridge.export.answers import Answer, Signal
from bridge.export.examples import Examples
from bridge.exposition import render
from bridge.ledger.ledger import Batch, Ledger, Plan
from bridge.ledger.open import open_ledger
from bridge.map.failures import Failure
from bridge.map.telemetry import Example, Measurement
from bridge.map.totals import fold
from bridge.metrics import Metrics
from bridge.observe import SelfMetrics

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
DURATION: Key = ("letta.step.duration", (("letta.step.status", "success"),))
TRACE = "0a" * 16


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    ledger = await open_ledger(
        str(tmp_path / "ledger"), source="letta", destination="default", now=START, max_series=2
    )
    yield ledger
    await ledger.close()


class Desk:
    """The metrics between a real ledger and a backend that remembers."""

    def __init__(self, ledger: Ledger, *, delta: bool = False, sink: RecordingSink | None = None) -> None:
        self.sink = sink or RecordingSink()
        self.examples = Examples()
        self.now = START
        self._ledger = ledger
        self.metrics = Metrics(
            ledger=ledger,
            sink=self.sink,
            own=SelfMetrics(),
            resource=Resource({"service.name": "letta"}),
            examples=self.examples,
            delta=delta,
            trace_url="http://jaeger/trace/{trace_id}",
        )

    async def page(self, accept: str = "") -> list[str]:
        return render(await self.metrics.page(self.now), accept)[0].decode().splitlines()

    async def exported(self) -> list[bytes]:
        before = len(self.sink.metric_requests)
        self.now += 60
        await self.metrics.export(self.now)
        return self.sink.metric_requests[before:]

    async def counts(self, *measurements: Measurement) -> None:
        totals = tuple((*key, total) for key, total in fold(map(alone, measurements)).items())
        await self._ledger.commit(Batch((), 0, Plan(totals=totals)))
        self.examples.add(map(alone, measurements))


def seconds(value: float, *, end_ns: int = 1_500_000_000, status: str = "success") -> Measurement:
    example = Example(bytes.fromhex(TRACE), b"\x0b" * 8, end_ns)
    return Measurement("letta.step.duration", (("letta.step.status", status),), value, example)


def failure(**fields: object) -> Failure:
    known = {"kind": "step", "seen_at": START + 1.5, "status": "failed", "trace_id": TRACE, "span_id": "0b" * 8}
    return Failure.model_validate(known | fields)


async def test_the_last_failures_are_on_the_page_with_their_trace(ledger: Ledger) -> None:
    kept = (failure(run_id="run-1", error_type="llm_error"), failure(kind="run", status="cancelled", run_id="run-2"))
    await ledger.commit(Batch((), 0, Plan(failures=kept)))
    found = [line for line in await Desk(ledger).page() if line.startswith("letta_") and "last_failure" in line]
    url = f"http://jaeger/trace/{TRACE}"
    assert found == [
        (
            f'letta_step_last_failure_timestamp_seconds{{error_type="llm_error",letta_run_id="run-1",'
            f'letta_step_status="failed",letta_trace_url="{url}",trace_id="{TRACE}"}} 1.8000000015e+09'
        ),
        (
            f'letta_run_last_failure_timestamp_seconds{{letta_run_id="run-2",letta_run_status="cancelled",'
            f'letta_trace_url="{url}",trace_id="{TRACE}"}} 1.8000000015e+09'
        ),
    ]


async def test_a_step_that_fails_is_on_the_page_of_a_whole_bridge(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.environ |= {"BRIDGE_TRACE_URL": "http://jaeger/trace/{trace_id}"}
    (run,) = recording.load("llm_500").play(world.store, world.clock.time)
    async with world.bridge() as bridge:
        await bridge.drain()
        page = render(await bridge.service.messages(), OPENMETRICS)[0].decode()
    (line,) = [line for line in page.splitlines() if line.startswith("letta_step_last_failure_timestamp_seconds{")]
    assert f'letta_run_id="{run}"' in line
    trace = line.partition('trace_id="')[2].partition('"')[0]
    assert f'letta_trace_url="http://jaeger/trace/{trace}"' in line
    assert bytes.fromhex(trace) in {span.trace_id for span in world.sink.accepted}


@pytest.mark.parametrize("delta", [False, True])
async def test_the_last_failures_go_to_the_backend(ledger: Ledger, *, delta: bool) -> None:
    await ledger.commit(Batch((), 0, Plan(failures=(failure(run_id="run-1"),))))
    seen = [one for payload in await Desk(ledger, delta=delta).exported() for one in points(payload)]
    (last,) = [one for one in seen if one.key[0] == "letta.step.last_failure.timestamp"]
    assert dict(last.key[1])["letta.run.id"] == "run-1"
    assert last.sum == START + 1.5


async def test_examples_are_on_the_page_of_whoever_takes_openmetrics(ledger: Ledger) -> None:
    desk = Desk(ledger)
    await desk.counts(seconds(0.015))
    (line,) = [line for line in await desk.page(OPENMETRICS) if "trace_id" in line]
    assert line == (
        'letta_step_duration_seconds_bucket{le="0.02",letta_step_status="success"} 1.0'
        f' # {{span_id="{"0b" * 8}",trace_id="{TRACE}"}} 0.015 1.5'
    )
    assert not [line for line in await desk.page() if "trace_id" in line]


def with_examples(requests: list[bytes]) -> list[Seen]:
    return [one for payload in requests for one in points(payload) if one.exemplars]


async def test_totals_carry_the_latest_examples_each_time(ledger: Ledger) -> None:
    desk = Desk(ledger)
    await desk.counts(seconds(0.015), seconds(7))
    for _ in range(2):
        (one,) = with_examples(await desk.exported())
        assert (one.key, len(one.exemplars)) == (DURATION, 2)


async def test_differences_carry_those_of_their_own_time(ledger: Ledger) -> None:
    desk = Desk(ledger, delta=True)
    await desk.counts(seconds(0.015))
    (first,) = with_examples(await desk.exported())
    await desk.counts(seconds(7))
    (second,) = with_examples(await desk.exported())
    assert [[one.as_double for one in seen.exemplars] for seen in (first, second)] == [[0.015], [7]]


async def test_a_metric_that_is_full_is_said_once_by_name(ledger: Ledger) -> None:
    desk = Desk(ledger)
    await desk.counts(seconds(1, status="a"), seconds(1, status="b"))
    with capture_logs() as said:
        await desk.page()
    assert said == []
    await desk.counts(seconds(1, status="c"), seconds(1, status="d"), seconds(1, status="a"))
    with capture_logs() as said:
        page = await desk.page()
        await desk.page()
        await desk.exported()
    (line,) = said
    assert line["metric"] == "letta.step.duration"
    assert "raise BRIDGE_METRICS_MAX_SERIES" in line["event"]
    counts = {
        line.split()[0]: line.split()[1] for line in page if line.startswith("letta_step_duration_seconds_count")
    }
    assert sorted(counts.values()) == ["1.0", "2.0", "2.0"]
    assert any('otel_metric_overflow="true"' in labels and count == "2.0" for labels, count in counts.items())


async def test_a_full_metric_is_said_in_differences_too(ledger: Ledger) -> None:
    desk = Desk(ledger, delta=True)
    await desk.counts(*(seconds(1, status=status) for status in "abcd"))
    with capture_logs() as said:
        seen = of_letta(await desk.exported())
    assert [line["metric"] for line in said] == ["letta.step.duration"]
    assert sum(one.count for one in seen) == 4


async def test_many_series_go_in_several_requests(tmp_path: Path) -> None:
    ledger = await open_ledger(str(tmp_path / "l"), source="letta", destination="default", now=START, max_series=5000)
    desk = Desk(ledger)
    await desk.counts(*(seconds(1, status=str(number)) for number in range(2500)))
    requests = await desk.exported()
    seen = [one for payload in requests for one in points(payload) if one.key[0] == "letta.step.duration"]
    assert len({one.key for one in seen}) == len(seen) == 2500
    assert len(requests) == 4
    assert max(map(len, requests)) < 1_500_000
    await ledger.close()


class SlowSink(RecordingSink):
    """A backend that lets others go on before it answers."""

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        await asyncio.sleep(0)
        return await super().send(signal, payload)


async def test_two_exports_at_a_time_tell_nothing_twice(ledger: Ledger) -> None:
    sink = SlowSink()
    desk = Desk(ledger, delta=True, sink=sink)
    await desk.counts(seconds(1))
    await asyncio.gather(*(desk.metrics.export(START + 60) for _ in range(3)))
    (one,) = of_letta(sink.metric_requests)
    assert one.count == 1
