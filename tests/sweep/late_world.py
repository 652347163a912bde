"""A world in which time passes in big steps, and the bridge is restarted wherever a test does something."""

from collections import Counter
from typing import Any

from bridge_world import START, Bridge, World, attribute
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from bridge.demo import recording
from bridge.demo.standin.rows import Table
from bridge.demo.standin.store import Row

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


def play(world: World, name: str, at: float = START) -> list[str]:
    """Play a recording; returns the ids of its runs."""
    return list(recording.load(name).play(world.store, at))


async def pass_time(world: World, seconds: float, *, every: float = 5.0) -> None:
    """A process of its own that sweeps every so many seconds, at the beginning and at the end."""
    until = world.clock.time + seconds
    async with world.bridge() as bridge:
        await bridge.service.sweep()
        while world.clock.time < until:
            world.clock.time = min(until, world.clock.time + every)
            await bridge.service.sweep()


async def sent(world: World) -> None:
    """Sweep until everything is over and its spans are sent."""
    async with world.bridge() as bridge:
        await bridge.drain()


def the(world: World, table: Table) -> Row:
    """The one row of a table."""
    (row,) = world.store.rows(table)
    return row


def events(world: World, name: str) -> list[LogRecord]:
    """The log events of that name, in the order they came."""
    return [event for event in world.sink.events if event.event_name == name]


def changes(world: World) -> list[LogRecord]:
    """The log events of what has become different since it was told."""
    at_once = (".failed", ".cancelled", ".abandoned")
    return [event for event in world.sink.events if not event.event_name.endswith(at_once)]


def said(event: LogRecord) -> dict[str, Any]:
    """An event's attributes."""
    return {pair.key: attribute(event, pair.key) for pair in event.attributes}  # type: ignore[arg-type]


async def counts(bridge: Bridge, instrument: str, by: str) -> dict[object, float]:
    """The sums of an instrument, by one of its attributes."""
    sums: Counter[object] = Counter()
    for (name, attributes), total in (await bridge.ledger.totals()).items():
        if name == instrument:
            sums[dict(attributes).get(by)] += total.sum  # type: ignore[assignment]
    return dict(sums)


async def counted(world: World, instrument: str, by: str) -> dict[object, float]:
    """The same, asked by a process of its own."""
    async with world.bridge() as bridge:
        return await counts(bridge, instrument, by)


async def waiting(world: World) -> int:
    """The gauge of the approvals that nobody has given."""
    async with world.bridge() as bridge:
        return (await bridge.ledger.open_runs()).awaiting_approval
