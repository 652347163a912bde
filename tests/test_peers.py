"""Whether a backend answered rests on its answers alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from bridge_world import World

from bridge.demo import recording
from bridge.export.answers import (
    Accepted,
    Answer,
    Denied,
    PartlyRejected,
    Refused,
    Retryable,
    Signal,
    TooLarge,
    Unsupported,
)
from bridge.health import OK

ANSWERED: list[Answer] = [Accepted(), PartlyRejected(1, "one"), Refused("no"), TooLarge("413")]
METRICS_ELSEWHERE = {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://prometheus.test:9090/api/v1/otlp/v1/metrics"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_an_idle_bridge_says_nothing_of_a_backend_that_it_has_not_asked(world: World) -> None:
    async with world.bridge() as bridge:
        await bridge.sweep(times=10)
        health, now = bridge.service.health, world.clock.now()
        assert health.answered_ago(now) == {"letta": 5.0, "backend": None}
        assert health.ready(now)
        await bridge.service.export_metrics()
        world.clock.time += 7
        assert health.answered_ago(world.clock.now()) == {"letta": 12.0, "backend": 7.0}


@pytest.mark.parametrize("answer", ANSWERED)
async def test_whatever_it_says_to_a_batch_but_no_it_has_answered(world: World, answer: Answer) -> None:
    world.sink.answer = lambda _: answer
    recording.load("text").play(world.store, world.clock.now() - 600)
    async with world.bridge() as bridge:
        await bridge.service.sweep()
        assert bridge.service.health.backend.answered_at == world.clock.now()
        assert bridge.service.health.parts(world.clock.now())["backend"] == OK


@pytest.mark.parametrize("answer", [Retryable("503"), Denied("401"), Unsupported("404")])
async def test_a_batch_that_it_does_not_take_is_shown_with_since_when(world: World, answer: Answer) -> None:
    async with world.bridge() as bridge:
        await bridge.service.export_metrics()
        world.sink.answer = lambda _: answer
        recording.load("text").play(world.store, world.clock.now() - 600)
        await bridge.service.sweep()
        world.clock.time += 300
        health, now = bridge.service.health, world.clock.now()
        health.turned(now)
        assert health.parts(now)["backend"] == answer.reason  # type: ignore[union-attr] # these have one
        assert health.answered_ago(now)["backend"] == 300.0
        assert not health.ready(now)


async def test_an_address_that_takes_nothing_stays_in_trouble_when_metrics_are_turned_down_too(world: World) -> None:
    world.sink.answer = world.sink.answer_metrics = lambda _: Unsupported("404")
    recording.load("text").play(world.store, world.clock.now() - 600)
    async with world.bridge() as bridge:
        await bridge.service.sweep()
        await bridge.service.export_metrics()
        assert bridge.service.health.parts(world.clock.now())["backend"] == "404"


async def test_good_answers_to_metrics_say_nothing_of_the_spans_that_are_refused(world: World) -> None:
    world.sink.answer = lambda _: Denied("401")
    recording.load("text").play(world.store, world.clock.now() - 600)
    async with world.bridge() as bridge:
        health = bridge.service.health
        await bridge.service.sweep()
        for _ in range(5):
            world.clock.time += 60
            health.turned(world.clock.now())
            await bridge.service.export_metrics()
            assert health.parts(world.clock.now())["backend"] == "401"
        assert not health.ready(world.clock.now())
        world.sink.answer = lambda _: Accepted()
        await bridge.service.sweep()
        assert health.parts(world.clock.now())["backend"] == OK
        assert health.ready(world.clock.now())


async def test_spans_that_are_taken_say_nothing_of_the_metrics_that_are_refused(world: World) -> None:
    world.sink.answer_metrics = lambda _: Denied("401 to metrics")
    async with world.bridge() as bridge:
        health = bridge.service.health
        await bridge.service.export_metrics()
        recording.load("text").play(world.store, world.clock.now() - 600)
        await bridge.service.sweep()
        assert health.parts(world.clock.now())["backend"] == "401 to metrics"
        world.sink.answer_metrics = lambda _: Accepted()
        await bridge.service.export_metrics()
        assert health.parts(world.clock.now())["backend"] == OK


async def test_of_two_troubles_the_one_of_the_spans_is_shown(world: World) -> None:
    world.sink.answer, world.sink.answer_metrics = lambda _: Retryable("503"), lambda _: Denied("401 to metrics")
    recording.load("text").play(world.store, world.clock.now() - 600)
    async with world.bridge() as bridge:
        health = bridge.service.health
        await bridge.service.sweep()
        await bridge.service.export_metrics()
        assert health.parts(world.clock.now())["backend"] == "503"
        world.sink.answer = lambda _: Accepted()
        await bridge.service.sweep()
        assert health.parts(world.clock.now())["backend"] == "401 to metrics"


async def test_metrics_that_turn_out_not_to_be_taken_are_no_trouble_any_more(world: World) -> None:
    world.sink.answer_metrics = lambda _: Retryable("connection refused")
    async with world.bridge() as bridge:
        health = bridge.service.health
        await bridge.service.export_metrics()
        assert health.parts(world.clock.now())["backend"] == "connection refused"
        world.sink.answer_metrics = lambda _: Unsupported("404")
        await bridge.service.export_metrics()
        assert health.parts(world.clock.now())["backend"] == OK


@pytest.mark.parametrize("signal", [Signal.METRICS, Signal.LOGS])
async def test_a_backend_that_takes_spans_alone_is_well(world: World, signal: Signal) -> None:
    def unsupported(_: bytes) -> Answer:
        return Unsupported("404")

    if signal is Signal.METRICS:
        world.sink.answer_metrics = unsupported
    else:
        world.sink.answer_logs = unsupported
    recording.load("llm_500").play(world.store, world.clock.now() - 600)
    async with world.bridge() as bridge:
        await bridge.service.sweep()
        await bridge.service.export_metrics()
        assert bridge.service.health.parts(world.clock.now())["backend"] == OK


async def test_metrics_that_go_elsewhere_have_a_side_of_their_own(world: World) -> None:
    world.environ |= METRICS_ELSEWHERE
    recording.load("text").play(world.store, world.clock.now() - 600)
    async with world.bridge() as bridge:
        await bridge.service.sweep()
        world.sink.answer_metrics = lambda _: Retryable("connection refused")
        await bridge.service.export_metrics()
        health = bridge.service.health
        assert health.parts(world.clock.now()) == {
            "loop": OK,
            "letta": OK,
            "backend": OK,
            "metrics": "connection refused",
        }
        world.clock.time += 300
        await bridge.service.sweep()
        assert not health.ready(world.clock.now())
        world.sink.answer_metrics = lambda _: Accepted()
        await bridge.service.export_metrics()
        assert health.ready(world.clock.now())


async def test_what_goes_nowhere_has_no_side(world: World) -> None:
    world.environ |= METRICS_ELSEWHERE | {"OTEL_METRICS_EXPORTER": "none"}
    async with world.bridge() as bridge:
        assert list(bridge.service.health.peers) == ["letta", "backend"]


async def test_a_tenant_is_part_of_no_address(world: World) -> None:
    """Paths and ports of one host: the same host and port is one backend, whatever the path."""
    world.environ |= {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector.test:4318/tenant/v1/traces",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector.test:4318/v1/metrics",
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://loki.test:3100/otlp/v1/logs",
    }
    async with world.bridge() as bridge:
        assert list(bridge.service.health.peers) == ["letta", "backend", "logs"]
