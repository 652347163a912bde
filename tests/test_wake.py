"""A hook hastens the sweep of one run, and changes nothing else: a whole bridge, whose next tick never comes."""

from __future__ import annotations

import uuid
from pathlib import Path

import httpx
import pytest
from bridge_world import START, Bridge, World, attribute
from structlog.testing import capture_logs

from bridge.demo import recording
from bridge.demo.standin.rows import Table
from bridge.export.answers import Accepted, Retryable
from bridge.wake import Wakes

ALL = (
    "tool_ok",
    "text",
    "multi_step",
    "parallel_tools",
    "tool_raises",
    "llm_500",
    "tool_then_500",
    "stream_cancelled",
    "cancelled_in_tool",
    "cancelled_then_completes",
    "older_agent",
    "conversation",
    "max_steps",
)
SETTLE = 15.0
MOMENT = 0.05


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.environ["BRIDGE_POLL_INTERVAL"] = "1h"
    return world


def step_id() -> str:
    return f"step-{uuid.uuid4()}"


class Letta:
    """The server's side of the webhook: each step once, when it turns final."""

    def __init__(self, world: World, bridge: Bridge) -> None:
        self._world = world
        self._bridge = bridge
        self._told: set[str] = set()
        self.ended: dict[str, float] = {}
        self.arrived: dict[str, float] = {}

    async def goes_on(self, seconds: float, *, hooks: bool = True) -> None:
        world = self._world
        end = world.clock.time + seconds
        while world.clock.time < end:
            for row in world.store.rows(Table.STEPS):
                if row.fields["status"] != "pending" and row.id not in self._told:
                    self._told.add(row.id)
                    self.ended[row.id] = world.clock.time
                    if hooks:
                        self._bridge.service.wake(row.id)
            await self._bridge.service.woken()
            for span in world.spans("agent_step"):
                self.arrived.setdefault(attribute(span, "letta.step.id"), world.clock.time)
            world.clock.time += MOMENT


def play(world: World, *names: str) -> None:
    for name in names:
        recording.load(name).play(world.store, world.clock.now())


def ids(world: World, table: Table) -> list[str]:
    return sorted(row.id for row in world.store.rows(table))


async def quiet(bridge: Bridge, world: World) -> None:
    """The first sweep, and nothing to remember of its requests."""
    await bridge.service.sweep()
    world.requests.clear()


@pytest.mark.parametrize("name", ALL)
async def test_each_step_arrives_soon_after_it_ended_and_the_run_when_it_is_settled(world: World, name: str) -> None:
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        play(world, name)
        letta = Letta(world, bridge)
        await letta.goes_on(120)
        assert "/v1/runs/" not in world.requests  # no list was walked
        final = {row.id for row in world.store.rows(Table.STEPS) if row.fields["status"] != "pending"}
        assert set(letta.arrived) >= final
        late = max(letta.arrived[step] - letta.ended[step] for step in final)
        assert late <= SETTLE + 0.3
        await bridge.drain()
        assert world.delivered("agent_step", "letta.step.id") == ids(world, Table.STEPS)
        assert world.delivered("invoke_agent", "letta.run.id") == ids(world, Table.RUNS)


@pytest.mark.parametrize("name", ["tool_ok", "text", "multi_step"])
async def test_what_is_complete_does_not_wait(world: World, name: str) -> None:
    """Where a visit comes before the messages, another one follows soon."""
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        play(world, name)
        letta = Letta(world, bridge)
        await letta.goes_on(60)
        assert max(letta.arrived[step] - letta.ended[step] for step in letta.ended) <= 3.5
        assert world.spans("invoke_agent")  # the run's own span did not wait for the next interval either


async def test_with_and_without_hooks_the_same_is_sent(tmp_path: Path) -> None:
    sent = []
    for hooks in (True, False):
        world = World(tmp_path / str(hooks))
        (tmp_path / str(hooks)).mkdir()
        async with world.bridge() as bridge:
            await quiet(bridge, world)
            for name in ALL:
                recording.load(name).play(world.store, START)
            letta = Letta(world, bridge)
            for _ in range(40):
                await letta.goes_on(5, hooks=hooks)
                await bridge.service.sweep()
            names = sorted(span.name for span in world.sink.accepted)
            sent.append((names, await bridge.total("letta.steps"), await bridge.total("letta.tokens")))
    assert sent[0] == sent[1]


async def test_one_hook_costs_few_requests_and_none_where_the_step_is_known(world: World) -> None:
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        recording.load("text").play(world.store, world.clock.now() - 60)
        (step,) = ids(world, Table.STEPS)
        bridge.service.wake(step)
        world.clock.time += 0.2
        await bridge.service.woken()
        assert world.delivered("agent_step", "letta.step.id") == [step]
        assert len(world.requests) <= 8
        world.requests.clear()
        for _ in range(1000):
            assert bridge.service.wake(step) == "repeated"
            world.clock.time += 0.01
            await bridge.service.woken()
        assert len(world.requests) <= 8  # the run's end, and nothing for the hooks
        assert "/v1/steps/{id}" not in world.requests
        assert world.delivered("agent_step", "letta.step.id") == [step]


async def test_a_step_that_is_delivered_costs_the_one_request_that_tells_its_run(world: World) -> None:
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        play(world, "tool_ok")
        letta = Letta(world, bridge)
        await letta.goes_on(5)
        (step,) = letta.arrived  # its run goes on
    async with world.bridge() as bridge:  # which knows of no hook before
        await quiet(bridge, world)
        bridge.service.wake(step)
        world.clock.time += 0.2
        await bridge.service.woken()
        assert world.requests == ["/v1/steps/{id}"]


async def test_many_hooks_are_one_sweep(world: World) -> None:
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        recording.load("multi_step").play(world.store, world.clock.now() - 600)
        steps = ids(world, Table.STEPS)
        for step in steps:
            bridge.service.wake(step)
        world.clock.time += 0.2
        await bridge.service.woken()
        assert world.delivered("agent_step", "letta.step.id") == steps
        assert world.requests.count("/v1/runs/{id}/steps") <= 2
        assert world.requests.count("/v1/steps/{id}") == len(steps)


async def test_a_step_that_is_not_there_or_not_over_changes_nothing(world: World) -> None:
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        world.store.put(Table.RUNS, run := f"run-{uuid.uuid4()}", {"agent_id": f"agent-{uuid.uuid4()}"})
        world.store.put(Table.STEPS, pending := step_id(), {"run_id": run})
        for step in (pending, step_id()):
            bridge.service.wake(step)
        world.clock.time += 0.2
        with capture_logs() as said:
            await bridge.service.woken()
        assert world.requests == ["/v1/steps/{id}"] * 2
        assert (await bridge.ledger.open_runs()).by_status == {}
        assert world.sink.requests == []
        (line,) = said
        assert "STEP_COMPLETE_WEBHOOK" in line["event"]
        assert bridge.service.wake(pending) == "taken"  # when it is over, the hook is right


async def test_steps_without_end_that_are_not_there_cost_a_fifth_of_the_budget(world: World) -> None:
    world.environ["BRIDGE_LETTA_REQUESTS_PER_SECOND"] = "5"
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        outcomes = []
        with capture_logs() as said:
            for _ in range(400):  # twenty seconds
                outcomes += [bridge.service.wake(step_id()) for _ in range(5)]
                world.clock.time += MOMENT
                await bridge.service.woken()
        assert len(world.requests) <= 20 + 8
        assert len(said) == 1
        assert outcomes.count("dropped") > 1600
        assert bridge.service.health.letta.trouble is None


async def test_a_flood_of_true_hooks_neither_starves_ticks_nor_doubles_anything(world: World) -> None:
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        for number in range(30):
            recording.load("tool_ok").play(world.store, world.clock.now() - 300 + number)
        steps = ids(world, Table.STEPS)
        for _ in range(30):
            for step in steps:
                bridge.service.wake(step)
            world.clock.time += MOMENT
            await bridge.service.woken()
        await bridge.service.tick()
        await bridge.drain()
        assert world.delivered("agent_step", "letta.step.id") == steps
        assert await bridge.total("letta.steps") == len(steps)


async def test_a_run_from_before_the_origin_is_none_of_its_business(world: World) -> None:
    world.environ["BRIDGE_START_FROM"] = "now"
    recording.load("text").play(world.store, world.clock.now() - 3600)
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        (step,) = ids(world, Table.STEPS)
        bridge.service.wake(step)
        world.clock.time += 0.2
        await bridge.service.woken()
        await bridge.drain()
        assert world.sink.accepted == []


async def test_a_run_that_was_forgotten_is_not_sent_again(world: World) -> None:
    world.environ |= {"BRIDGE_WATCH_FOR": "0", "BRIDGE_OVERLAP": "1s"}
    async with world.bridge() as bridge:
        play(world, "text")
        await bridge.drain()
        (step,) = ids(world, Table.STEPS)
        (run,) = ids(world, Table.RUNS)
        for _ in range(2):
            world.clock.time += 3600
            play(world, "text")
            await bridge.drain()
        assert await bridge.ledger.run(run) is None
        sent = len(world.sink.accepted)
        bridge.service.wake(step)
        world.clock.time += 0.2
        await bridge.service.woken()
        await bridge.drain()
        assert await bridge.ledger.run(run) is None
        assert len(world.sink.accepted) == sent


async def test_a_run_that_is_closed_or_dormant_stays_as_it_is(world: World) -> None:
    world.environ["BRIDGE_STALE_AFTER"] = "60s"
    async with world.bridge() as bridge:
        play(world, "text", "server_killed")
        for _ in range(60):
            await bridge.sweep()
        events, spans = list(world.sink.events), list(world.sink.accepted)
        for step in ids(world, Table.STEPS):
            bridge.service.wake(step)
        for _ in range(60):
            await bridge.service.woken()
            await bridge.sweep()
        assert (world.sink.accepted, world.sink.events) == (spans, events)


async def test_while_letta_is_in_trouble_a_hook_asks_nothing_and_is_not_forgotten(world: World) -> None:
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        world.letta.database_down = True
        await bridge.service.sweep()
        world.requests.clear()
        recording.load("text").play(world.store, world.clock.now() - 60)
        (step,) = ids(world, Table.STEPS)
        bridge.service.wake(step)
        for _ in range(100):
            world.clock.time += 0.3
            await bridge.service.woken()
        assert world.requests == []
        world.letta.database_down = False
        world.clock.time += 60
        await bridge.service.woken()
        assert world.delivered("agent_step", "letta.step.id") == [step]
        assert "/v1/runs/" in world.requests  # what failed is made up for: a whole sweep


async def test_while_the_backend_is_away_a_hook_reads_nothing(world: World) -> None:
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        world.sink.answer = lambda _: Retryable("away")
        recording.load("text").play(world.store, world.clock.now() - 60)
        await bridge.service.sweep()
        world.requests.clear()
        recording.load("tool_ok").play(world.store, world.clock.now() - 60)
        steps = ids(world, Table.STEPS)
        for step in steps:
            bridge.service.wake(step)
        for _ in range(4000):
            world.clock.time += 0.3
            await bridge.service.woken()
        assert world.requests == []
        world.sink.answer = lambda _: Accepted()
        world.clock.time += 120
        await bridge.service.woken()
        world.clock.time += 0.3
        await bridge.service.woken()
        assert world.delivered("agent_step", "letta.step.id") == steps


class OneRouteFails(httpx.AsyncBaseTransport):
    """Answers a status to what is asked of single steps."""

    def __init__(self, inner: httpx.AsyncBaseTransport, status: int) -> None:
        self._inner = inner
        self._status = status

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/v1/steps/step-") and request.url.path.count("/") == 3:
            return httpx.Response(self._status, json={"detail": "no"}, request=request)
        return await self._inner.handle_async_request(request)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 500])
async def test_a_step_that_cannot_be_shown_is_no_trouble_of_the_servers(world: World, status: int) -> None:
    world.wrap_transport = lambda inner: OneRouteFails(inner, status)
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        play(world, "text")
        for row in [step_id() for _ in range(5)]:
            bridge.service.wake(row)
        world.clock.time += 0.2
        await bridge.service.woken()
        assert bridge.service.health.letta.trouble is None
        await bridge.drain()
        assert world.delivered("agent_step", "letta.step.id") == ids(world, Table.STEPS)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_fails_for_all_is_left_alone_and_the_hook_kept(world: World, status: int) -> None:
    failing = True

    class Fails(OneRouteFails):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if failing:
                return await super().handle_async_request(request)
            return await self._inner.handle_async_request(request)

    world.wrap_transport = lambda inner: Fails(inner, status)
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        recording.load("text").play(world.store, world.clock.now() - 60)
        (step,) = ids(world, Table.STEPS)
        bridge.service.wake(step)
        world.clock.time += 0.2
        await bridge.service.woken()
        assert bridge.service.health.letta.trouble is not None
        failing = False
        world.requests.clear()
        await bridge.service.woken()
        assert world.requests == []
        world.clock.time += 120
        await bridge.service.woken()
        assert world.delivered("agent_step", "letta.step.id") == [step]
        assert bridge.service.health.letta.trouble is None


async def test_a_hook_before_the_first_sweep_is_that_sweep(world: World) -> None:
    recording.load("text").play(world.store, world.clock.now() - 60)
    async with world.bridge() as bridge:
        (step,) = ids(world, Table.STEPS)
        bridge.service.wake(step)
        world.clock.time += 0.2
        await bridge.service.woken()
        assert world.delivered("agent_step", "letta.step.id") == [step]


async def test_after_stop_a_hook_reads_nothing(world: World) -> None:
    async with world.bridge() as bridge:
        await quiet(bridge, world)
        bridge.service.stop()
        bridge.service.wake(step_id())
        world.clock.time += 0.2
        await bridge.service.woken()
        assert world.requests == []


def test_what_has_no_room_is_dropped_and_a_step_is_taken_once() -> None:
    wakes = Wakes()
    named = [step_id() for _ in range(300)]
    outcomes = [wakes.add(step, 0.0) for step in named]
    assert (outcomes.count("taken"), outcomes.count("dropped")) == (256, 44)
    assert wakes.add(named[0], 0.0) == "repeated"
    assert wakes.take(8) == named[:8]
    assert wakes.add(named[0], 0.0) == "repeated"
    wakes.put_back(named[:8])
    assert sorted(wakes.take(8)) == sorted(named[:8])


def test_what_is_remembered_of_the_past_is_bounded() -> None:
    wakes = Wakes()
    first = step_id()
    for step in [first, *(step_id() for _ in range(2000))]:
        wakes.add(step, 0.0)
        wakes.take(1)
    assert wakes.add(first, 0.0) == "taken"


def test_hooks_are_gathered_for_a_moment_and_a_clock_set_back_holds_nothing_up() -> None:
    wakes = Wakes()
    assert wakes.wait(0.0) is None
    wakes.add(step_id(), 1000.0)
    wakes.add(step_id(), 1000.09)
    assert 0 < (wakes.wait(1000.0) or 0) <= 0.1
    assert wakes.wait(1000.1) == 0
    assert wakes.wait(10.0) == 0
    wakes.rest(1000.0, 60)
    assert wakes.wait(1030.0) == 30
    wakes.follow("run-1", 1000.0, 5)
    assert wakes.wait(1004.0) == 1
    assert wakes.take_runs(1004.0) == []
    assert wakes.take_runs(900.0) == ["run-1"]
