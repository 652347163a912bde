"""How to bring about on a real server what each recording shows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from real.driver import Driver


@dataclass(frozen=True)
class Stage:
    """The driver with the tools it made."""

    driver: Driver
    tools: dict[str, str]

    def agent(self, **more: Any) -> str:
        """A new agent's id."""
        return self.driver.agent("contract", list(self.tools.values()), **more)


@dataclass(frozen=True)
class Play:
    """A message: what is special about its agent, and how it is sent; `drive` returns when all is said and done."""

    drive: Callable[[Driver, str], None]
    special: dict[str, Any] = field(default_factory=dict)

    def agent(self, stage: Stage) -> str:
        return stage.agent(**self.special)


def _sent(script: str, **more: Any) -> Callable[[Driver, str], None]:
    def drive(driver: Driver, agent: str) -> None:
        driver.send(agent, script, **more)

    return drive


def _sent_async(script: str, **more: Any) -> Callable[[Driver, str], None]:
    def drive(driver: Driver, agent: str) -> None:
        driver.send_async(agent, script, **more)

    return drive


def _cancelled(script: str) -> Callable[[Driver, str], None]:
    def drive(driver: Driver, agent: str) -> None:
        run = driver.send_async(agent, script)
        driver.wait_pending(run)
        driver.cancel(agent, run)

    return drive


def _cancelled_stream(driver: Driver, agent: str) -> None:
    reader = threading.Thread(target=driver.stream, args=(agent, "slow_stream:40:0.3"))
    reader.start()
    run = driver.wait_newest(agent)
    driver.wait_pending(run)
    driver.cancel(agent, run)
    reader.join()


def _approved(driver: Driver, agent: str) -> None:
    driver.approve(agent, driver.send(agent, "approval"))


def _approval_cancelled(driver: Driver, agent: str) -> None:
    driver.send(agent, "approval")
    time.sleep(2)  # as long as whoever polls needs to see it waiting
    driver.cancel(agent, driver.wait_newest(agent))


PLAYS = {
    "text": Play(_sent("text")),
    "tool_ok": Play(_sent_async("tool_ok")),
    "tool_raises": Play(_sent("tool_raise")),
    "parallel_tools": Play(
        _sent("parallel"), {"model_settings": {"provider_type": "openai", "parallel_tool_calls": True}}
    ),
    "max_steps": Play(_sent_async("forever", max_steps=3)),
    "length": Play(_sent_async("length")),
    "llm_500": Play(_sent("e500")),
    "llm_429": Play(lambda driver, agent: driver.stream(agent, "e429")),
    "tool_then_500": Play(_sent("tool_then_500")),
    "stream_dropped": Play(lambda driver, agent: driver.stream(agent, "drop")),
    "stream_cancelled": Play(_cancelled_stream),
    "cancelled_then_completes": Play(_cancelled("slow:6")),
    "cancelled_in_tool": Play(_cancelled("slow_tool:5")),
    "approval": Play(_approved),
    "approval_cancelled": Play(_approval_cancelled),
    "conversation": Play(lambda driver, agent: driver.converse(agent, "tool_ok")),
    "older_agent": Play(_sent("tool_ok"), {"agent_type": "memgpt_v2_agent"}),
    "messages_filtered": Play(_sent("tool_ok", include_return_message_types=["assistant_message"])),
    "many_steps": Play(_sent_async("many_unknown:60", max_steps=100)),
}
