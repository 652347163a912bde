"""What the agents do while the bridge watches: each scenario is a kind of run that a real server was seen to make.

`drive` plays them side by side and returns the runs each one made. `interrupt` leaves runs at work for a server that
is about to be killed. `leave_unanswered` and `change_late` make a run that changes after it was sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from real.driver import Driver

AT_ONCE = 4  # a 2-core server does no better with more


@dataclass(frozen=True)
class Stage:
    """The driver with the tools it made."""

    driver: Driver
    tools: dict[str, str]

    def agent(
        self, name: str, *, tools: tuple[str, ...] = ("add_numbers", "always_raises", "sleep_tool"), **more: Any
    ) -> str:
        """A new agent's id."""
        return self.driver.agent(name, [self.tools[tool] for tool in tools], **more)


def drive(driver: Driver) -> dict[str, list[str]]:
    """Play every scenario; the ids of the runs of each, oldest first."""
    stage = Stage(driver, driver.tools())
    with ThreadPoolExecutor(AT_ONCE) as pool:
        agents = {name: pool.submit(play, stage) for name, play in SCENARIOS.items()}
        return {name: _runs(driver, agent.result()) for name, agent in agents.items()}


def interrupt(driver: Driver) -> dict[str, list[str]]:
    """Start runs that will still be at work when the server is killed; returns when each has a pending step."""
    stage = Stage(driver, driver.tools())
    agents = {name: stage.agent(name) for name in ("waiting", "using a tool", "second step", "streaming")}
    runs = {
        "waiting": driver.send_async(agents["waiting"], "slow:120"),
        "using a tool": driver.send_async(agents["using a tool"], "slow_tool:120"),
        "second step": driver.send_async(agents["second step"], "tool_then_slow:120"),
    }
    threading.Thread(target=_streaming, args=(driver, agents["streaming"]), daemon=True).start()
    runs["streaming"] = driver.wait_newest(agents["streaming"])
    for name, run in runs.items():
        driver.wait_pending(run, steps=2 if name == "second step" else 1)
    return {name: [run] for name, run in runs.items()}


def leave_unanswered(driver: Driver) -> tuple[str, str]:
    """A run that waits for an approval which nobody gives: (agent, run)."""
    agent = Stage(driver, driver.tools()).agent("unanswered", tools=("add_numbers", "dangerous"))
    driver.send(agent, "approval").raise_for_status()
    return agent, driver.wait_newest(agent)


def change_late(driver: Driver, agent: str, run: str) -> None:
    """What people do to a run long after it ended: they judge its step, and cancel what still waits."""
    driver.feedback(driver.steps(run)[-1]["id"], "negative", ["too slow"])
    driver.cancel(agent, run)


def _streaming(driver: Driver, agent: str) -> None:
    try:
        driver.stream(agent, "slow_stream:200:0.5")
    except httpx.TransportError:
        return  # the server died, which is the point


def _runs(driver: Driver, agent: str) -> list[str]:
    return [run["id"] for run in reversed(driver.runs(agent))]


def _sent(script: str, *, expect: int = 200, **more: Any) -> Callable[[Stage], str]:
    def play(stage: Stage) -> str:
        agent = stage.agent(script.partition(":")[0])
        answer = stage.driver.send(agent, script, **more)
        assert answer.status_code == expect, answer.text
        return agent

    return play


def _sent_async(script: str, *, agent_type: str = "letta_v1_agent", **more: Any) -> Callable[[Stage], str]:
    def play(stage: Stage) -> str:
        agent = stage.agent(script.partition(":")[0], agent_type=agent_type)
        stage.driver.wait_ended(stage.driver.send_async(agent, script, **more))
        return agent

    return play


def _streamed(script: str) -> Callable[[Stage], str]:
    def play(stage: Stage) -> str:
        agent = stage.agent(script.partition(":")[0])
        stage.driver.stream(agent, script)
        return agent

    return play


def _parallel_tools(stage: Stage) -> str:
    agent = stage.agent("parallel", model_settings={"provider_type": "openai", "parallel_tool_calls": True})
    assert stage.driver.send(agent, "parallel").status_code == 200
    return agent


def _cancelled_stream(stage: Stage) -> str:
    """Its step turns failed/Unknown up to nine seconds after the cancel."""
    agent = stage.agent("cancelled-stream")
    reader = threading.Thread(target=stage.driver.stream, args=(agent, "slow_stream:40:0.3"))
    reader.start()
    run = stage.driver.wait_newest(agent)
    stage.driver.wait_pending(run)
    stage.driver.cancel(agent, run)
    reader.join()
    return agent


def _cancelled(script: str) -> Callable[[Stage], str]:
    """Cancelled while its first step is under way."""

    def play(stage: Stage) -> str:
        agent = stage.agent("cancelled")
        run = stage.driver.send_async(agent, script)
        stage.driver.wait_pending(run)
        stage.driver.cancel(agent, run)
        return agent

    return play


def _approved(stage: Stage) -> str:
    agent = stage.agent("approved", tools=("add_numbers", "dangerous"))
    requested = stage.driver.send(agent, "approval")
    stage.driver.approve(agent, requested)
    return agent


def _conversation(stage: Stage) -> str:
    agent = stage.agent("conversation")
    stage.driver.converse(agent, "tool_ok")
    return agent


SCENARIOS: dict[str, Callable[[Stage], str]] = {
    "text": _sent("text"),
    "tool ok": _sent_async("tool_ok"),
    "filtered messages": _sent("tool_ok", include_return_message_types=["assistant_message"]),
    "tool raises": _sent("tool_raise"),
    "parallel tools": _parallel_tools,
    "multi-step": _sent("nsteps:4"),
    "max_steps": _sent_async("forever", max_steps=3),
    "length": _sent("length"),
    "LLM 500": _sent("e500", expect=500),
    "tool then 500": _sent_async("tool_then_500"),
    "stream": _streamed("tool_ok"),
    "dropped stream": _streamed("drop"),
    "cancelled stream": _cancelled_stream,
    "cancelled in the LLM call": _cancelled("slow:6"),
    "cancelled in a tool": _cancelled("slow_tool:5"),
    "approval": _approved,
    "conversation": _conversation,
    "older agent type": _sent_async("tool_ok", agent_type="memgpt_v2_agent"),
}
