"""The worlds that are broken at every point: what Letta does in each, and what the backend answers.

Answers depend on the clock and the request alone, so that each play numbers its points the same way every time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from bridge_world import START, spans_in
from torture.torture_letta import AGENTS, Letta
from torture.torture_world import TortureWorld

from bridge.demo.standin.rows import Table
from bridge.export.answers import Accepted, Answer, PartlyRejected, Refused, Retryable, TooLarge

WATCH_FOR: Final = 7200.0


@dataclass(frozen=True)
class Play:
    """One world.

    Attributes:
        prepare: enters what will happen.
        dead: names of spans, first word, that become dead letters in it.
        step: seconds between two sweeps.
    """

    prepare: Callable[[TortureWorld], object]
    dead: frozenset[str] = frozenset()
    step: float = 15.0

    def world(self, folder: Path) -> TortureWorld:
        """A new one, in which nothing has happened yet."""
        world = TortureWorld(folder)
        world.environ |= {
            "BRIDGE_STALE_AFTER": "60s",
            "BRIDGE_OVERLAP": "60s",
            "BRIDGE_WATCH_FOR": f"{WATCH_FOR:g}s",
        }
        world.step = self.step
        self.prepare(world)
        return world


def _plain(*names: str) -> Callable[[TortureWorld], object]:
    return lambda world: world.play(*names)


def _busy(world: TortureWorld) -> None:
    """503 for a while, in which what is waiting to be sent changes in Letta."""
    world.play("multi_step", "llm_500")
    away = Retryable("away", retry_after=1)
    world.backend.answer = lambda _payload: away if world.clock.time < START + 40 else Accepted()

    def change() -> None:
        for row in world.store.rows(Table.STEPS):
            world.store.put(Table.STEPS, row.id, {"tid": f"changed after {world.clock.time - START:g}"})

    world.agenda = [(START + at, change) for at in (10, 15, 25, 35, 45, 55)]


def _busy_between(world: TortureWorld) -> None:
    """A batch of several requests of which the backend takes the first halves, then nothing for a while."""
    world.play("multi_step", "parallel_tools")

    def answer(payload: bytes) -> Answer:
        spans = spans_in(payload)
        if len(spans) > 3:
            return TooLarge("more than three")
        later = world.clock.time < START + 60 and any(span.name.startswith("chat") for span in spans)
        return Retryable("not now", retry_after=1) if later else Accepted()

    world.backend.answer = answer


def _bad_span(world: TortureWorld) -> None:
    world.play("parallel_tools", "text")

    def answer(payload: bytes) -> Answer:
        bad = any(span.name.startswith("execute_tool") for span in spans_in(payload))
        return Refused("no tools here") if bad else Accepted()

    world.backend.answer = answer


def _partly(world: TortureWorld) -> None:
    """It takes all but the tools, and says how many it did not take, but not which."""
    world.play("tool_raises", "tool_ok")
    world.backend.drops = lambda span: span.name.startswith("execute_tool")

    def answer(payload: bytes) -> Answer:
        dropped = sum(world.backend.drops(span) for span in spans_in(payload))
        return PartlyRejected(dropped, "no tools here") if dropped else Accepted()

    world.backend.answer = answer


def _letta_down(world: TortureWorld) -> None:
    world.play("tool_ok", "max_steps")
    world.agenda = [
        (START + 10, partial(_set_down, world, down=True)),
        (START + 40, partial(_set_down, world, down=False)),
    ]


def _set_down(world: TortureWorld, *, down: bool) -> None:
    world.letta.database_down = down


def _backlog(world: TortureWorld) -> None:
    """More runs than a page has, on a server that caps its pages."""
    world.page_cap = 20
    for number in range(24):
        world.play("text", at=START - 7200 + 50 * (number // 2))


def _out_of_order(world: TortureWorld) -> None:
    """Runs of one instant, and one that becomes visible long after a newer one."""
    world.play("text", "text", at=START)
    world.play("tool_then_500", at=START + 3, hidden_for=25)
    world.play("text", at=START + 20)


def _held(world: TortureWorld) -> None:
    """A step that stays pending while those after it are over."""
    letta = Letta(world.store)
    run = letta.new_run(START, AGENTS[0])
    slow, *others = [letta.new_step(START, run) for _ in range(4)]
    for step in others:
        letta.finish(START, run, step, tools=1)
    world.agenda = [
        (START + 45, lambda: letta.finish(world.clock.time, run, slow)),
        (START + 60, lambda: letta.end(world.clock.time, run, "completed")),
    ]


def _belated(world: TortureWorld) -> None:
    """Two steps with their messages, though what was measured of one comes later; of a third all comes later."""
    letta = Letta(world.store)
    run = letta.new_run(START, AGENTS[0])
    first, second, third = [letta.new_step(START, run) for _ in range(3)]
    letta.finish(START, run, first, tools=1)
    letta.finish(START, run, second, tools=2, measured=8.0)
    letta.finish(START, run, third, tools=1, belated=12.0)
    world.agenda = [(START + 30, lambda: letta.end(world.clock.time, run, "completed"))]


def _changes_late(world: TortureWorld) -> None:
    """What is given and decided hours after the runs were sent."""
    letta = Letta(world.store)
    runs = [letta.new_run(START, agent) for agent in AGENTS]
    for run in runs:
        letta.finish(START, run, letta.new_step(START, run))
        letta.end(START, run, "completed")
    (liked,), (tagged,) = (run.steps for run in runs)
    world.agenda = [
        (START + 400, lambda: letta.give_feedback(liked, "positive")),
        (START + 400, lambda: letta.tag(tagged, "later")),
        (START + 2000, lambda: letta.give_feedback(liked, "negative")),
        (START + 2000, lambda: letta.end(world.clock.time, runs[1], "cancelled")),
    ]
    world.until = START + WATCH_FOR


PLAYS: Final = {
    "everyday": Play(_plain("text", "tool_ok")),
    "endings": Play(_plain("cancelled_in_tool", "stream_cancelled", "cancelled_then_completes", "tool_then_500")),
    "failures": Play(_plain("llm_429", "llm_500", "stream_dropped", "length", "max_steps")),
    "approvals": Play(_plain("approval", "approval_cancelled")),
    "zombies": Play(_plain("server_killed", "conversation")),
    "odd_messages": Play(_plain("messages_filtered", "older_agent"), step=5.0),
    "out_of_order": Play(_out_of_order, step=5.0),
    "held": Play(_held),
    "belated": Play(_belated, step=5.0),
    "changes_late": Play(_changes_late, step=200.0),
    "busy": Play(_busy, step=10.0),
    "busy_between": Play(_busy_between),
    "bad_span": Play(_bad_span, dead=frozenset({"execute_tool"})),
    "partly_rejected": Play(_partly, dead=frozenset({"execute_tool"})),
    "letta_down": Play(_letta_down, step=10.0),
    "backlog": Play(_backlog),
}
