"""One process that runs on and on: its memory stays what it was, and so does what it asks of Letta."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from bridge_world import Bridge, World, spans_in
from genai_prices.data_snapshot import get_snapshot
from torture.torture_dose import COUNTS, FULL, dose
from torture.torture_letta import AGENTS, Letta

from bridge.export.answers import Accepted, Answer, Signal

STEPS = dose(small=800, full=6_000, every=24_000)
RUNS_A_TURN = 5
STEPS_A_RUN = 20
TURNS = STEPS // (RUNS_A_TURN * STEPS_A_RUN)
WARM_UP = max(4, TURNS // 10)
TURN_SECONDS = 30.0
LETTA_KEEPS = 180.0  # seconds: the stand-in's rows are in this process too, and must not grow
ALLOWED = 1.1

pytestmark = pytest.mark.timeout(3600 if FULL else 60)


class CountingSink:
    """A backend that keeps nothing but numbers."""

    def __init__(self) -> None:
        self.steps = 0

    async def send(self, signal: Signal, payload: bytes) -> Answer:
        if signal is Signal.TRACES:
            self.steps += sum(span.name == "agent_step" for span in spans_in(payload))
        return Accepted()

    async def close(self) -> None:
        pass


class Half:
    """What a half of the soak took at most."""

    def __init__(self) -> None:
        self.peak = 0
        self.requests = 0


def one_turn(world: World, letta: Letta) -> None:
    """Runs that begin and end, with messages; what is old is forgotten on Letta's side."""
    now = world.clock.time
    for number in range(RUNS_A_TURN):
        run = letta.new_run(now, AGENTS[number % 2], late=0.0)
        for _ in range(STEPS_A_RUN):
            letta.finish(now, run, letta.new_step(now, run), tokens=100, tools=1, belated=0.0)
        letta.end(now, run, "completed")
    letta.runs.clear()
    world.store.forget_runs(now - LETTA_KEEPS)


async def turns(world: World, bridge: Bridge, letta: Letta, count: int) -> Half:
    half = Half()
    tracemalloc.reset_peak()
    for _ in range(count):
        one_turn(world, letta)
        world.requests.clear()
        for _ in range(3):
            await bridge.service.sweep()
            await bridge.service.export_metrics()
            world.clock.time += TURN_SECONDS / 3
        half.requests = max(half.requests, len(world.requests))
    half.peak = tracemalloc.get_traced_memory()[1]
    return half


async def test_memory_and_requests_stay_what_they_were(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.environ |= {"BRIDGE_STEP_DURATIONS": "false", "BRIDGE_WATCH_FOR": "2m", "BRIDGE_OVERLAP": "60s"}
    sink = CountingSink()
    world.sink = sink  # type: ignore[assignment] # any sink will do
    letta = Letta(world.store)
    get_snapshot()  # the list of prices is one long module, which takes a minute to import while memory is traced
    async with world.bridge() as bridge:
        tracemalloc.start()
        try:
            await turns(world, bridge, letta, WARM_UP)
            first = await turns(world, bridge, letta, TURNS // 2)
            second = await turns(world, bridge, letta, TURNS // 2)
        finally:
            tracemalloc.stop()
        await bridge.sweep(times=10)
        sent = (WARM_UP + TURNS // 2 * 2) * RUNS_A_TURN * STEPS_A_RUN
        assert (sink.steps, await bridge.total("letta.steps")) == (sent, sent)
    assert second.peak <= first.peak * ALLOWED, f"{first.peak:,} bytes, then {second.peak:,}"
    assert second.requests <= first.requests * ALLOWED
    COUNTS["soak steps"] += sent
    COUNTS["soak peak, first half"] = first.peak
    COUNTS["soak peak, second half"] = second.peak
