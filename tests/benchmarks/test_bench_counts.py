"""What the bridge may cost, as counts that no busy machine blurs: requests, calls, imports."""

import cProfile
import pstats
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.clean import environment
from benchmarks.contestants.ours import follow, settings_of
from benchmarks.contestants.quiet import watch
from benchmarks.stage import ROOT, Stage, Workload, ask, staged

RUNS = Workload("25 runs", runs=25, steps=40)
CALLS_A_STEP = 150  # of the bridge's own Python functions; raise it knowingly
LESS_THAN_NAIVE = 5.75  # times the calls of all functions, in the main thread; lower it knowingly
MODULES = 560  # that `bridge run` has imported before its first request; raise it knowingly


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged(RUNS) as both:
        yield both


async def sent(stage: Stage, folder: Path, *, durations: bool) -> tuple[dict[str, int], dict[str, int]]:
    """Everything sent once: the requests to Letta by route, and what the receiver counted."""
    ask(f"{stage.letta}/bench/reset")
    ask(f"{stage.otlp}/bench/reset")
    await follow(settings_of(stage.letta, stage.otlp, folder / "ledger", durations=durations), RUNS.runs)
    return ask(f"{stage.letta}/bench/reset")["asked"], ask(f"{stage.otlp}/bench/reset")["counts"]


@pytest.mark.parametrize(("durations", "most"), [(False, 100), (True, 1100)])
async def test_requests_per_thousand_steps_of_25_runs(
    stage: Stage, tmp_path: Path, *, durations: bool, most: int
) -> None:
    asked, received = await sent(stage, tmp_path, durations=durations)
    assert received["spans.agent_step"] == RUNS.total == 1000
    assert received["spans.invoke_agent"] == RUNS.runs
    assert (asked.get("v1/steps/{id}/metrics", 0) == RUNS.total) is durations
    assert sum(asked.values()) < most, asked


async def test_calls_of_the_bridges_own_functions_per_step(stage: Stage, tmp_path: Path) -> None:
    profile = cProfile.Profile()
    profile.enable()
    _, received = await sent(stage, tmp_path, durations=False)
    profile.disable()
    assert received["spans.agent_step"] == RUNS.total
    own = [entry for entry in profile.getstats() if not isinstance(entry.code, str) and is_ours(entry.code)]
    assert 10 < sum(entry.callcount for entry in own) / RUNS.total <= CALLS_A_STEP


def is_ours(code: Any) -> bool:
    return "/bridge/" in code.co_filename


def test_all_calls_per_step_against_those_of_the_naive_script(stage: Stage, tmp_path: Path) -> None:
    naive, ours = (all_calls(stage, name, tmp_path) for name in ("naive", "ours"))
    assert naive / ours >= LESS_THAN_NAIVE, (naive, ours)


def all_calls(stage: Stage, contestant: str, folder: Path) -> float:
    """Calls of Python's functions and of C's, per step; the naive script's exporter has a thread of its own."""
    file = folder / f"{contestant}.prof"
    stage.play(contestant, RUNS, "--profile", str(file))
    counted: int = pstats.Stats(str(file)).total_calls  # type: ignore[attr-defined]
    return counted / RUNS.total


async def test_an_idle_tick_costs_two_requests_at_most_and_no_more_with_a_hundred_times_the_history(
    tmp_path: Path,
) -> None:
    calls = {}
    for runs in (1_000, 100_000):
        with staged(Workload("history", runs=runs, steps=1), "--undated") as both:
            settings = settings_of(
                both.letta, both.otlp, tmp_path / f"{runs}", durations=False, BRIDGE_START_FROM="1h"
            )
            profile = cProfile.Profile()
            told: dict[str, Any] = {}
            profile.enable()
            await watch(settings, both.letta, ticks=20, pause=0.0, told=told)
            profile.disable()
            asked = ask(f"{both.letta}/bench/stats")["asked"]
            assert 20 <= sum(asked.values()) <= 2 * 20
            assert asked.keys() == {"v1/runs"}
            own = [entry for entry in profile.getstats() if not isinstance(entry.code, str) and is_ours(entry.code)]
            calls[runs] = sum(entry.callcount for entry in own)
    assert calls[100_000] == pytest.approx(calls[1_000], rel=0.1)


def test_what_the_service_imports_before_its_first_request() -> None:
    program = "import sys, bridge.cli, bridge.app; print(*sys.modules)"
    with environment() as python:
        ran = subprocess.run(
            [python, "-c", program], check=True, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
        )
    modules = ran.stdout.split()
    assert "bridge.app.service" in modules
    assert len(modules) <= MODULES
    assert {"grpc", "starlette", "uvicorn", "jinja2", "genai_prices"}.isdisjoint(modules)


async def test_a_long_run_costs_no_more_requests_per_step_than_a_short_one(tmp_path: Path) -> None:
    """Its messages are read page by page with its steps, and steps of the next page are not asked for one by one."""
    load = Workload("1 run", runs=1, steps=5000)
    with staged(load) as both:
        await follow(settings_of(both.letta, both.otlp, tmp_path / "ledger", durations=False), load.runs)
        asked = ask(f"{both.letta}/bench/stats")["asked"]
    assert asked.get("v1/steps/{id}", 0) == 0
    assert asked["v1/runs/{id}/messages"] <= 2 * 5000 / 1000 + 5 + 1
