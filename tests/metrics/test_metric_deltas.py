"""Delta temporality through a whole bridge: what arrived adds up to the totals, whatever happened on the way."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from bridge_world import START, Bridge, World
from metric_points import Seen, added_up, of_letta, points
from structlog.testing import capture_logs

from bridge.demo import recording
from bridge.export.answers import Accepted, Answer, Denied, PartlyRejected, Refused, Retryable, TooLarge, Unsupported
from bridge.ledger.sqlite import SqliteLedger
from bridge.map.instruments import CATALOGUE, Kind

DELTA = {"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta"}
MIXED = recording.names()[::5]


class Killed(BaseException):
    """The process ends here."""


class Told:
    """A backend that adds up what it takes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.taken: list[bytes] = []
        self.rule: Callable[[bytes], Answer] = lambda _: Accepted()
        world.sink.answer_metrics = self.answer

    def answer(self, payload: bytes) -> Answer:
        answer = self.rule(payload)
        if isinstance(answer, Accepted):
            self.taken.append(payload)
        return answer

    def differences(self) -> list[Seen]:
        return of_letta(self.taken)

    async def assert_adds_up(self, bridge: Bridge) -> None:
        totals = await bridge.ledger.totals()
        told = added_up(self.differences())
        assert set(told) == set(totals)
        for key, total in totals.items():
            count = total.count if CATALOGUE[key[0]].kind is Kind.HISTOGRAM else 0
            exact = CATALOGUE[key[0]].integer
            assert told[key][0] == (total.sum if exact else pytest.approx(total.sum, rel=1e-12))
            assert told[key][1:] == (count, total.buckets)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.environ |= DELTA | {"BRIDGE_STALE_AFTER": "60s"}
    return world


@pytest.fixture
def backend(world: World) -> Told:
    return Told(world)


def play(world: World, *names: str) -> None:
    for name in names:
        recording.load(name).play(world.store, world.clock.time)


async def live(bridge: Bridge, names: Sequence[str]) -> None:
    """A recording an export."""
    for name in names:
        play(bridge._world, name)
        await bridge.drain()
        await bridge.service.export_metrics()


async def test_the_differences_add_up_to_the_totals(world: World, backend: Told) -> None:
    async with world.bridge() as bridge:
        await live(bridge, MIXED)
        await backend.assert_adds_up(bridge)
        assert min(one.start_ns for one in backend.differences()) == START * 1e9


async def test_what_did_not_move_is_not_told(world: World, backend: Told) -> None:
    async with world.bridge() as bridge:
        await live(bridge, ["text"])
        before = len(backend.differences())
        world.clock.time += 60
        await bridge.service.export_metrics()
        assert len(backend.differences()) == before
        await live(bridge, ["text"])
        await backend.assert_adds_up(bridge)


async def test_the_page_has_totals_all_the_same(world: World, backend: Told) -> None:
    async with world.bridge() as bridge:
        await live(bridge, ["text", "text"])
        page = [one for message in await bridge.service.messages() for one in points(message.SerializeToString())]
    assert not any(one.delta for one in page)
    (steps,) = [one for one in page if one.key[0] == "letta.steps"]
    assert (steps.sum, steps.start_ns) == (2, START * 1e9)


async def test_gauges_and_the_bridges_own_go_along(world: World, backend: Told) -> None:
    async with world.bridge() as bridge:
        await live(bridge, ["text"])
        await live(bridge, ["text"])
    seen = [one for payload in backend.taken for one in points(payload)]
    assert sum(one.key[0] == "letta.approvals.waiting" for one in seen) == 2
    spans = [one for one in seen if one.key == ("letta_bridge.spans", (("outcome", "accepted"),))]
    assert all(one.delta for one in spans)
    assert sum(one.sum for one in spans) == len(world.sink.accepted)


@pytest.mark.parametrize("answer", [Retryable("busy"), Denied("wrong key"), Unsupported("no metrics here")])
async def test_what_was_not_answered_is_sent_again_byte_for_byte(world: World, backend: Told, answer: Answer) -> None:
    backend.rule = lambda _: answer
    async with world.bridge() as bridge:
        await live(bridge, ["text"])
    async with world.bridge() as bridge:
        await live(bridge, ["tool_ok"])
        first, again = world.sink.metric_requests
        assert first == again
        backend.rule = lambda _: Accepted()
        world.clock.time += 60
        await bridge.service.export_metrics()
        assert backend.taken[0] == first
        await backend.assert_adds_up(bridge)


async def kill_in(world: World, monkeypatch: pytest.MonkeyPatch, method: str, *, after: bool) -> None:
    """A process that dies in its second export, in one call of the ledger: before it is done, or when it is."""
    real = getattr(SqliteLedger, method)

    async def dies(self: SqliteLedger, *given: Any, **named: Any) -> None:
        if after:
            await real(self, *given, **named)
        raise Killed

    async with world.bridge() as bridge:
        await live(bridge, ["text"])
        play(world, "tool_ok", "max_steps")
        await bridge.drain()
        with monkeypatch.context() as patched:
            patched.setattr(SqliteLedger, method, dies)
            with pytest.raises(Killed):
                await bridge.service.export_metrics()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("method", ["put_exports_aside", "settle_export"])
async def test_a_kill_around_each_write(
    world: World, backend: Told, monkeypatch: pytest.MonkeyPatch, method: str, *, after: bool
) -> None:
    await kill_in(world, monkeypatch, method, after=after)
    sent_before = len(world.sink.metric_requests)
    async with world.bridge() as bridge:
        world.clock.time += 60
        await live(bridge, ["text"])
        if (method, after) == ("settle_export", False):  # taken, and the ledger does not know
            twice = world.sink.metric_requests[sent_before]
            assert twice == world.sink.metric_requests[sent_before - 1]
            backend.taken.remove(twice)  # a backend that knows it by its bytes
        await backend.assert_adds_up(bridge)


async def test_a_kill_while_it_is_on_its_way(world: World, backend: Told) -> None:
    def dies(_: bytes) -> Answer:
        raise Killed

    async with world.bridge() as bridge:
        await live(bridge, ["text"])
        play(world, "tool_ok")
        await bridge.drain()
        backend.rule = dies
        with pytest.raises(Killed):
            await bridge.service.export_metrics()
    backend.rule = lambda _: Accepted()
    async with world.bridge() as bridge:
        await live(bridge, ["text"])
        requests = world.sink.metric_requests
        assert sum(requests.count(one) == 2 for one in set(requests)) == 1
        await backend.assert_adds_up(bridge)


@pytest.mark.parametrize("answer", [Refused("400 bad label"), TooLarge("413")])
async def test_what_was_refused_for_good_is_told_by_the_next(world: World, backend: Told, answer: Answer) -> None:
    backend.rule = lambda payload: answer if of_letta([payload]) else Accepted()
    async with world.bridge() as bridge:
        with capture_logs() as said:
            await live(bridge, ["text"])
            world.clock.time += 60
            await bridge.service.export_metrics()
        refusal = f"metrics were refused for good: {answer.reason}. "  # type: ignore[union-attr] # these have one
        (event,) = [line["event"] for line in said if "metrics" in line["event"]]
        assert event.startswith(refusal)
        assert "OTEL_METRICS_EXPORTER=none" in event
        assert await counted(bridge, "rejected") == 2
        backend.rule = lambda _: Accepted()
        with capture_logs() as said:
            await live(bridge, ["tool_ok"])
        assert "metrics are taken again" in [line["event"] for line in said]
        await backend.assert_adds_up(bridge)


async def test_a_request_that_was_too_large_is_halved(world: World, backend: Told) -> None:
    backend.rule = lambda payload: TooLarge("413") if len(of_letta([payload])) > 3 else Accepted()
    async with world.bridge() as bridge:
        play(world, *MIXED)
        await bridge.drain()
        for _ in range(10):
            world.clock.time += 60
            await bridge.service.export_metrics()
        await backend.assert_adds_up(bridge)


async def test_of_what_was_taken_in_part_nothing_is_sent_again(world: World, backend: Told) -> None:
    backend.rule = lambda payload: PartlyRejected(1, "too old") if of_letta([payload]) else Accepted()
    async with world.bridge() as bridge:
        with capture_logs() as said:
            await live(bridge, ["text"])
        assert any(line["event"].startswith("1 points of metrics were rejected: too old. ") for line in said)
        requests = len(world.sink.metric_requests)
        world.clock.time += 60
        await bridge.service.export_metrics()
        assert not of_letta(world.sink.metric_requests[requests:])


async def test_switching_to_totals_and_back_loses_nothing(world: World, backend: Told) -> None:
    async with world.bridge() as bridge:
        await live(bridge, ["text"])
        backend.rule = lambda _: Retryable("busy")
        await live(bridge, ["tool_ok"])
        backend.rule = lambda _: Accepted()
    world.environ["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] = "cumulative"
    async with world.bridge() as bridge:
        await live(bridge, ["text", "max_steps"])
        last = [one for one in points(world.sink.metric_requests[-2]) if one.key[0] == "letta.runs"]
        assert sum(one.sum for one in last) == await bridge.total("letta.runs")
        assert not any(one.delta for one in last)
    world.environ |= DELTA
    async with world.bridge() as bridge:
        await live(bridge, ["text"])
        await backend.assert_adds_up(bridge)


async def test_a_clock_that_goes_back_makes_no_overlap(world: World, backend: Told) -> None:
    async with world.bridge() as bridge:
        await live(bridge, ["text"])
        play(world, "text")
        await bridge.drain()
        world.clock.time -= 3600
        await bridge.service.export_metrics()
        await backend.assert_adds_up(bridge)


async def test_where_metrics_go_nowhere_nothing_was_told(world: World, backend: Told) -> None:
    world.environ["OTEL_METRICS_EXPORTER"] = "none"
    async with world.bridge() as bridge:
        await live(bridge, ["text"])
        assert (await bridge.ledger.told()).series == {}


async def test_the_bridges_own_are_sent_again_too(world: World, backend: Told) -> None:
    def own_are_refused(payload: bytes) -> Answer:
        return Retryable("busy") if any(one.of_the_bridge for one in points(payload)) else Accepted()

    backend.rule = own_are_refused
    async with world.bridge() as bridge:
        await live(bridge, ["text", "text"])
        backend.rule = lambda _: Accepted()
        await live(bridge, ["text"])
    own = [one for payload in backend.taken for one in points(payload) if one.of_the_bridge]
    accepted = [one.sum for one in own if one.key == ("letta_bridge.spans", (("outcome", "accepted"),))]
    assert sum(accepted) == len(world.sink.accepted)


async def counted(bridge: Bridge, outcome: str) -> float:
    """Requests with metrics of that outcome."""
    key = ("letta_bridge.metric_exports", (("outcome", outcome),))
    page = await bridge.service.messages()
    return sum(one.sum for message in page for one in points(message.SerializeToString()) if one.key == key)
