"""The promise, checked against the source of truth: what Letta's rows hold at the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from bridge_world import TICK, Bridge, World, attribute, spans_in
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bridge.demo import recording
from bridge.demo.standin.rows import Table
from bridge.ledger.ledger import DeadLetter

_BEFORE = ("tool_ok", "llm_500")
_MEANWHILE = ("multi_step", "text")
_LONGEST_DRAIN = 500  # ticks
_PAUSE = 0.02  # seconds of real time between two: a gRPC channel that lost its server dials again after a second
_IDS = {"agent_step": "letta.step.id", "chat": "letta.step.id", "invoke_agent": "letta.run.id"}
_OF_LETTA = {"run", "step", "message", "remainder"}  # letters that hold Letta's records; the others hold requests


def play(world: World, *names: str, at: float | None = None) -> list[str]:
    """The runs of these recordings, which begin now."""
    begin = world.clock.time if at is None else at
    return [run for name in names for run in recording.load(name).play(world.store, begin)]


async def ticks(world: World, bridge: Bridge, count: int, *, every: float = TICK) -> None:
    """What the schedule does, without waiting for it; a side that is backed off from is left alone."""
    for _ in range(count):
        await bridge.service.tick()
        world.clock.time += every


async def drained(world: World, bridge: Bridge) -> None:
    """Tick until everything is over, settled, sent and committed."""
    for _ in range(_LONGEST_DRAIN):
        played = not world.store.pending()
        await ticks(world, bridge, 1)
        if played and not (await bridge.ledger.open_runs()).by_status and await bridge.ledger.in_flight() is None:
            return
        await asyncio.sleep(_PAUSE)
    raise AssertionError(f"still open: {await bridge.ledger.open_runs()}, {await bridge.ledger.in_flight()}")


async def survived(world: World, bridge: Bridge, fault: AbstractContextManager[Any], *, length: int = 8) -> None:
    """Work, a fault in the middle of it, more work while it lasts, and all that is left once it has passed."""
    play(world, *_BEFORE)
    await ticks(world, bridge, 3)
    with fault as happening:
        play(world, *_MEANWHILE)
        await ticks(world, bridge, length)
        assert happening.met, "the fault was not met"
    await drained(world, bridge)


async def waited(world: World, bridge: Bridge, happening: AbstractContextManager[Any]) -> None:
    """Work, a backend that takes nothing for a while, and all that is left: nothing is read while a batch waits."""
    play(world, *_BEFORE)
    await ticks(world, bridge, 3)
    with happening as fault:
        play(world, *_MEANWHILE)
        while not fault.met:
            await ticks(world, bridge, 1)
        read, sent = len(world.requests), len(world.sink.requests)
        play(world, "max_steps")
        await ticks(world, bridge, 8)
        assert len(world.requests) == read, "something was read while a batch waits"
        whole = max(world.sink.requests[sent - 1 :], key=len)
        assert {span.span_id for again in world.sink.requests[sent:] for span in spans_in(again)} <= {
            span.span_id for span in spans_in(whole)
        }, "something new was sent"
    await drained(world, bridge)


async def assert_promise(
    world: World,
    bridge: Bridge,
    *,
    letters: int = 0,
    unread: Sequence[str] = (),
    twice: bool = False,
) -> None:
    """Every step and run is with the backend once, or a dead letter; the counters are exact; nothing is left over.

    Args:
        world: its store is the truth.
        bridge: whose ledger is looked at.
        letters: how many dead letters there must be.
        unread: ids of runs and steps of which no span can be, since Letta never showed them as they should be.
        twice: the backend took something and could not say so: it may come again, but then byte for byte the same.
    """
    kept = [letter.letter for letter in await bridge.ledger.dead_letters()]
    assert len(kept) == letters == await bridge.ledger.dead_letter_count(), kept
    assert all(letter.reason and letter.payload for letter in kept)
    arrived, dead = Counter(_told(world.sink.accepted)), set(_told(_dead(kept)))
    expected = set(_expected(world, unread))
    assert expected <= arrived.keys() | dead, f"lost: {expected - arrived.keys() - dead}"
    assert arrived.keys() | dead <= expected, f"never was: {arrived.keys() | dead - expected}"
    assert twice or max(arrived.values()) == 1, f"twice: {[what for what, times in arrived.items() if times > 1]}"
    tools = Counter(_tools(world.sink.accepted))
    assert set(_tools_run(world, unread)) <= {*tools, *_tools(_dead(kept))}, "a tool's span is lost"
    assert twice or not tools or max(tools.values()) == 1, "a tool's span came twice"
    assert _contents_agree(world.sink.accepted), "what came again is not what came first"
    await _assert_counters(world, bridge, unread)
    assert await bridge.ledger.in_flight() is None


def _told(spans: Sequence[Span]) -> Iterator[tuple[str, Any]]:
    for span in spans:
        kind = span.name.split()[0]
        if kind in _IDS:
            yield kind, attribute(span, _IDS[kind])


def _tools(spans: Sequence[Span]) -> list[Any]:
    return [attribute(span, "gen_ai.tool.call.id") for span in spans if span.name.startswith("execute_tool")]


def _tools_run(world: World, unread: Sequence[str]) -> Iterator[str]:
    for row in world.store.rows(Table.MESSAGES):
        if not {row.id, row.fields["step_id"], row.fields["run_id"]}.intersection(unread):
            for shown in row.fields["shown"]:
                yield from (returned["tool_call_id"] for returned in shown.get("tool_returns") or ())


def _dead(letters: Sequence[DeadLetter]) -> list[Span]:
    return [span for letter in letters if letter.kind not in _OF_LETTA for span in spans_in(letter.payload)]


def _expected(world: World, unread: Sequence[str]) -> Iterator[tuple[str, str]]:
    for row in world.store.rows(Table.STEPS):
        if row.id not in unread:
            yield "agent_step", row.id
            yield "chat", row.id
    for row in world.store.rows(Table.RUNS):
        if row.id not in unread:
            yield "invoke_agent", row.id


def _contents_agree(spans: Sequence[Span]) -> bool:
    first: dict[bytes, Span] = {}
    return all(first.setdefault(span.span_id, span) == span for span in spans)


async def _assert_counters(world: World, bridge: Bridge, unread: Sequence[str]) -> None:
    steps = [row.fields for row in world.store.rows(Table.STEPS) if row.id not in unread]
    runs = [row.id for row in world.store.rows(Table.RUNS) if row.id not in unread]
    assert await bridge.total("letta.steps") == len(steps)
    assert await bridge.total("letta.runs") == len(runs)
    by_type: Counter[object] = Counter()
    for (name, labels), total in (await bridge.ledger.totals()).items():
        if name == "letta.tokens":
            by_type[dict(labels)["letta.token.type"]] += round(total.sum)
    assert by_type["input"] == sum(step["prompt_tokens"] or 0 for step in steps)
    assert by_type["output"] == sum(step["completion_tokens"] or 0 for step in steps)
