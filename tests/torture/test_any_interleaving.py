"""Any interleaving of what Letta, its pages, the backend, the clock and the process can do keeps the promise.

Pages, chunks and batches are a few rows here instead of hundreds, so that their boundaries come up all the time.
A failure prints the rules that lead to it, and in the full dose a blob for `@reproduce_failure`.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final
from unittest import mock

import hypothesis.strategies as st
import pytest
from bridge_world import spans_in
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from torture.torture_dose import COUNTS, FULL, dose, judge
from torture.torture_letta import AGENTS, Letta, LiveRun
from torture.torture_truth import complaints
from torture.torture_world import Process, TortureWorld

from bridge.export.answers import Accepted, Answer, Denied, PartlyRejected, Refused, Retryable, TooLarge

STALE_AFTER = 600.0
WATCH_FOR = 7 * 86_400.0
SETTLE = 15.0
SMALL_CAPS = frozenset({2, 3})
ALL_SPANS = frozenset({"invoke_agent", "agent_step", "chat", "execute_tool"})
MOST_POINTS = 60  # about what a sweep with something to send has
DELICATE = (
    "before the backend takes",
    "before its answer",
    "before BEGIN",
    "before COMMIT",
    "within COMMIT",
    "after COMMIT",
    "before DELETE",
    "before INSERT",
    "Sweep._work goes on",
)


def _is_odd(span: Span) -> bool:
    """What a picky backend has something against: about every third span, always the same ones."""
    return span.span_id[0] % 3 == 0


def _picky(payload: bytes) -> Answer:
    return Refused("an odd one") if any(map(_is_odd, spans_in(payload))) else Accepted()


def _partly(payload: bytes) -> Answer:
    odd = sum(map(_is_odd, spans_in(payload)))
    return PartlyRejected(odd, "odd ones") if odd else Accepted()


def _all_rejected(payload: bytes) -> Answer:
    return PartlyRejected(len(spans_in(payload)), "none of these")


def _small(payload: bytes) -> Answer:
    return TooLarge("at most two") if len(spans_in(payload)) > 2 else Accepted()


BACKENDS: Final[dict[str, Callable[[bytes], Answer]]] = {
    "accepts": lambda _payload: Accepted(),
    "is away": lambda _payload: Retryable("away", retry_after=2),
    "denies": lambda _payload: Denied("no such key"),
    "takes two spans at most": _small,
    "refuses odd spans": _picky,
    "refuses all": lambda _payload: Refused("never"),
    "drops odd spans": _partly,
    "rejects all": _all_rejected,
}
LOGS_TOO = frozenset({"is away", "denies", "refuses all"})
REJECTING = frozenset({"refuses odd spans", "refuses all", "drops odd spans", "rejects all"})

seconds = st.sampled_from([0.0, 0.0, 1.0, 4.0])
picks = st.integers(0, 7)


class Interleaving(RuleBasedStateMachine):
    """One example; `teardown` lets all become well and checks the promise."""

    def __init__(self) -> None:
        super().__init__()
        self.ending = ExitStack()
        self.runner = self.ending.enter_context(asyncio.Runner())
        folder = Path(self.ending.enter_context(tempfile.TemporaryDirectory()))
        self.ending.enter_context(mock.patch("bridge.source.pager._USUAL_CAPS", SMALL_CAPS))
        self.ending.enter_context(mock.patch("bridge.sweep.discovery._PAGES_A_SWEEP", 2))
        self.ending.enter_context(mock.patch("bridge.sweep.sweep._CHUNK", 2))
        self.world = TortureWorld(folder)
        self.world.environ |= {
            "BRIDGE_STALE_AFTER": f"{STALE_AFTER:g}s",
            "BRIDGE_OVERLAP": "60s",
            "BRIDGE_SETTLE": f"{SETTLE:g}s",
        }
        self.letta = Letta(self.world.store)
        self.world.backend.drops = _is_odd
        self.rejected = False
        self.process: Process | None = None

    @property
    def now(self) -> float:
        return self.world.clock.time

    # Letta

    @rule(agent=st.sampled_from(AGENTS), late=st.sampled_from([0.0, 0.0, 3.0, 40.0]), filtered=st.booleans())
    def a_run_appears(self, agent: str, late: float, *, filtered: bool) -> None:
        self.letta.new_run(self.now, agent, late=late, filtered=filtered)

    @rule(agent=st.sampled_from(AGENTS), count=st.integers(2, 7), tokens=st.integers(0, 50))
    def runs_of_one_instant_that_are_over(self, agent: str, count: int, tokens: int) -> None:
        for _ in range(count):
            run = self.letta.new_run(self.now, agent, late=0.0)
            self.letta.finish(self.now, run, self.letta.new_step(self.now, run), tokens=tokens, tools=0, belated=0.0)
            self.letta.end(self.now, run, "completed")

    @precondition(lambda self: self._that_can_step())
    @rule(pick=picks)
    def a_step_begins(self, pick: int) -> None:
        self.letta.new_step(self.now, self._picked(self._that_can_step(), pick))

    @precondition(lambda self: self._that_can_step())
    @rule(pick=picks, count=st.integers(2, 6), tokens=st.integers(0, 900), tools=st.integers(0, 2))
    def steps_of_one_instant(self, pick: int, count: int, tokens: int, tools: int) -> None:
        run = self._picked(self._that_can_step(), pick)
        for step in [self.letta.new_step(self.now, run) for _ in range(count)]:
            self.letta.finish(self.now, run, step, tokens=tokens, tools=tools, belated=0.0)

    @precondition(lambda self: self._that_can_finish())
    @rule(pick=picks, tokens=st.integers(0, 900), tools=st.integers(0, 2), belated=seconds)
    def a_step_succeeds(self, pick: int, tokens: int, tools: int, belated: float) -> None:
        run = self._picked(self._that_can_finish(), pick)
        assert run.pending
        self.letta.finish(self.now, run, run.pending, tokens=tokens, tools=tools, belated=belated)

    @precondition(lambda self: self._that_can_finish())
    @rule(pick=picks, error=st.sampled_from(["LLMServerError", "Unknown"]))
    def a_step_fails(self, pick: int, error: str) -> None:
        run = self._picked(self._that_can_finish(), pick)
        assert run.pending
        self.letta.fail(self.now, run, run.pending, error)

    @precondition(lambda self: self._given_up())
    @rule(pick=picks, tokens=st.integers(1, 900))
    def a_step_that_was_given_up_succeeds(self, pick: int, tokens: int) -> None:
        run = self._picked(self._given_up(), pick)
        assert run.pending
        self.letta.finish(self.now, run, run.pending, tokens=tokens, tools=0, belated=0.0)

    @precondition(lambda self: self._active())
    @rule(pick=picks, status=st.sampled_from(["completed", "failed", "cancelled"]))
    def a_run_ends(self, pick: int, status: str) -> None:
        self.letta.end(self.now, self._picked(self._active(), pick), status)

    @precondition(lambda self: self._cancelled())
    @rule(pick=picks)
    def a_cancelled_run_completes(self, pick: int) -> None:
        self.letta.end(self.now, self._picked(self._cancelled(), pick), "completed")

    @precondition(lambda self: self._with_steps())
    @rule(pick=picks, value=st.sampled_from(["positive", "negative"]))
    def a_person_gives_feedback(self, pick: int, value: str) -> None:
        self.letta.give_feedback(self._picked(self._with_steps(), pick).steps[-1], value)

    @precondition(lambda self: self._with_steps())
    @rule(pick=picks)
    def a_person_tags_a_step(self, pick: int) -> None:
        self.letta.tag(self._picked(self._with_steps(), pick).steps[0], "seen")

    @precondition(lambda self: self.letta.runs)
    @rule(agent=st.sampled_from(AGENTS))
    def an_agent_is_deleted(self, agent: str) -> None:
        self.letta.delete_agent(agent)

    @rule(cap=st.sampled_from([None, *SMALL_CAPS]))
    def letta_caps_its_pages(self, cap: int | None) -> None:
        self.world.page_cap = cap

    @rule(down=st.booleans())
    def lettas_database_goes_down_or_comes_back(self, *, down: bool) -> None:
        self.world.letta.database_down = down

    # The backend, the clock and the process

    @rule(mood=st.sampled_from(sorted(BACKENDS)))
    def the_backend(self, mood: str) -> None:
        self.world.backend.answer = BACKENDS[mood]
        self.world.backend.answer_logs = BACKENDS[mood] if mood in LOGS_TOO else BACKENDS["accepts"]
        self.rejected = self.rejected or mood in REJECTING

    @rule(seconds=st.sampled_from([1.0, 5.0, 5.0, 15.0, 70.0, 700.0]))
    def time_goes_on(self, seconds: float) -> None:
        self.world.clock.time += seconds

    @rule(times=st.integers(1, 3))
    def a_sweep(self, times: int) -> None:
        for _ in range(times):
            self._sweep()
            self.world.clock.time += 5.0

    @rule(point=st.integers(1, MOST_POINTS))
    def a_sweep_that_is_killed(self, point: int) -> None:
        self._sweep(kill_in=point)

    @rule(at=st.sampled_from(DELICATE), nth=st.integers(1, 3))
    def a_sweep_that_is_killed_where_it_hurts(self, at: str, nth: int) -> None:
        self._sweep(kill_in=nth, at=at)

    @rule()
    def a_restart(self) -> None:
        self._stop()

    def teardown(self) -> None:
        with self.ending:
            self.runner.run(self._all_becomes_well())
            held = self.runner.run(self.world.books())
            dead = ALL_SPANS if self.rejected else frozenset[str]()
            judge(complaints(self.world, held, dead=dead, gone=self.letta.gone), "an interleaving that breaks it:")
            COUNTS["property examples"] += 1
            COUNTS["resent spans"] += self.world.backend.resent()

    async def _all_becomes_well(self) -> None:
        if self.process:
            await self.process.stop()
        self.the_backend_accepts()
        self.world.letta.database_down = False
        self.world.step = STALE_AFTER / 4
        self.world.until = self.now + WATCH_FOR
        await self.world.live(self.world.to_the_end)

    def the_backend_accepts(self) -> None:
        self.world.backend.answer = self.world.backend.answer_logs = BACKENDS["accepts"]

    def _sweep(self, **given: Any) -> None:
        self.process = self.process or Process(self.world)
        alive = self.runner.run(self.process.sweep(**given))
        if not alive:
            self.process = None
            COUNTS["kills of the property test"] += 1

    def _stop(self) -> None:
        if self.process:
            self.runner.run(self.process.stop())
        self.process = None

    def _active(self) -> list[LiveRun]:
        return [run for run in self.letta.runs if run.active]

    def _cancelled(self) -> list[LiveRun]:
        return [run for run in self.letta.runs if run.status == "cancelled"]

    def _with_steps(self) -> list[LiveRun]:
        return [run for run in self.letta.runs if run.steps]

    def _that_can_step(self) -> list[LiveRun]:
        return [run for run in self._active() if not run.pending]

    def _that_can_finish(self) -> list[LiveRun]:
        return [run for run in self.letta.runs if run.pending and not self._is_given_up(run)]

    def _given_up(self) -> list[LiveRun]:
        return [run for run in self.letta.runs if run.pending and self._is_given_up(run)]

    def _is_given_up(self, run: LiveRun) -> bool:
        """Whether its step may have been sent as it stood: over, or silent, for so long."""
        over = run.over_at is not None and self.now - run.over_at > SETTLE
        return over or self.now - run.news_at > STALE_AFTER / 2

    @staticmethod
    def _picked(runs: list[LiveRun], pick: int) -> LiveRun:
        return runs[pick % len(runs)]


SETTINGS: Final = settings(
    max_examples=dose(small=25, full=300, every=1500),
    stateful_step_count=30,
    deadline=None,
    derandomize=not FULL,
    database=None,
    print_blob=True,
    phases=[Phase.generate, Phase.shrink] if FULL else [Phase.generate],  # to shrink takes minutes
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


@pytest.mark.timeout(14_400 if FULL else 120)
class TestAnyInterleaving(Interleaving.TestCase):  # type: ignore[misc, valid-type] # made at run time
    settings = SETTINGS
