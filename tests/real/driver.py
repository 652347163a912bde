"""The little of Letta's API that drives an agent: make one, send, stream, cancel, approve, give feedback."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from real.waiting import until

ENDED = {"completed", "failed", "cancelled"}

TOOLS = {
    "add_numbers": '''
def add_numbers(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a (int): first
        b (int): second

    Returns:
        int: the sum
    """
    return a + b
''',
    "always_raises": '''
def always_raises(why: str) -> str:
    """Always raises.

    Args:
        why (str): the reason

    Returns:
        str: never
    """
    raise ValueError("scripted tool failure: " + why)
''',
    "sleep_tool": '''
def sleep_tool(seconds: float) -> str:
    """Sleep.

    Args:
        seconds (float): how long

    Returns:
        str: done
    """
    import time
    time.sleep(seconds)
    return "slept " + str(seconds)
''',
    "dangerous": '''
def dangerous(target: str) -> str:
    """Dangerous thing needing approval.

    Args:
        target (str): what

    Returns:
        str: result
    """
    return "did dangerous thing to " + target
''',
}


class Driver:
    """Talks to one Letta server; safe to share between threads.

    A script is the name of what the lab's model plays, with its arguments: `nsteps:4`.
    """

    def __init__(self, url: str) -> None:
        # Letta closes an idle connection after 5 s, in the middle of the next request: no connection is kept.
        self._http = httpx.Client(
            base_url=url,
            timeout=300,
            limits=httpx.Limits(max_keepalive_connections=0),
            headers={"Connection": "close"},
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def tools(self) -> dict[str, str]:
        """Make sure the tools exist; their ids by name."""
        return {name: self._tool(name, source) for name, source in TOOLS.items()}

    def _tool(self, name: str, source: str) -> str:
        body = {"source_code": source, "default_requires_approval": name == "dangerous"}
        answer = self._http.put("/v1/tools/", json=body).raise_for_status().json()
        return str(answer["id"])

    def agent(self, name: str, tools: list[str], **more: Any) -> str:
        """A new agent's id."""
        kind = more.pop("agent_type", "letta_v1_agent")
        body = {
            "name": f"{name}-{uuid.uuid4().hex[:8]}",
            "agent_type": kind,
            "model": "openai-proxy/gpt-4o-mini",
            "tool_ids": tools,
            "include_base_tools": kind != "letta_v1_agent",
            "memory_blocks": [{"label": "persona", "value": "I am a test."}],
            **more,
        }
        return str(self._http.post("/v1/agents/", json=body).raise_for_status().json()["id"])

    def send(self, agent: str, script: str, **more: Any) -> httpx.Response:
        """A message, answered when the run is over; a failed model is a 4xx or 5xx here, and no exception."""
        return self._http.post(f"/v1/agents/{agent}/messages", json={"messages": _says(script), **more})

    def send_async(self, agent: str, script: str, **more: Any) -> str:
        """A message; the new run's id at once."""
        body = {"messages": _says(script), **more}
        return str(self._http.post(f"/v1/agents/{agent}/messages/async", json=body).raise_for_status().json()["id"])

    def stream(self, agent: str, script: str) -> None:
        """A message, its answer streamed by tokens and read to the end (a cancelled stream just ends)."""
        body = {"messages": _says(script), "streaming": True, "stream_tokens": True}
        with self._http.stream("POST", f"/v1/agents/{agent}/messages/stream", json=body) as answer:
            for _ in answer.iter_lines():
                pass

    def converse(self, agent: str, script: str) -> None:
        """A message in a conversation of its own, not streamed: its run stays `created` for ever (0.16.8)."""
        made = self._http.post("/v1/conversations/", params={"agent_id": agent}, json={}).raise_for_status().json()
        body = {"messages": _says(script), "streaming": False}
        self._http.post(f"/v1/conversations/{made['id']}/messages", json=body).raise_for_status().read()

    def approve(self, agent: str, requested: httpx.Response) -> None:
        """Say yes to the tool call that stopped `requested`."""
        asked = next(m for m in requested.json()["messages"] if m["message_type"] == "approval_request_message")
        yes = {"type": "approval", "tool_call_id": asked["tool_call"]["tool_call_id"], "approve": True}
        body = {"messages": [{"type": "approval", "approvals": [yes]}]}
        self._http.post(f"/v1/agents/{agent}/messages", json=body).raise_for_status()

    def cancel(self, agent: str, run: str) -> None:
        """Ask the server to cancel a run."""
        self._http.post(f"/v1/agents/{agent}/messages/cancel", json={"run_ids": [run]}).raise_for_status()

    def feedback(self, step: str, value: str, tags: list[str]) -> None:
        """Say what a step was worth; the tags are the step's own."""
        body = {"feedback": value, "tags": tags}
        self._http.patch(f"/v1/steps/{step}/feedback", json=body).raise_for_status()

    def runs(self, agent: str) -> list[dict[str, Any]]:
        """The agent's runs, newest first."""
        answer: list[dict[str, Any]] = self.get("/v1/runs/", agent_id=agent)
        return answer

    def run(self, run: str) -> dict[str, Any]:
        """One run."""
        answer: dict[str, Any] = self.get(f"/v1/runs/{run}")
        return answer

    def steps(self, run: str) -> list[dict[str, Any]]:
        """All steps of a run, oldest first."""
        answer: list[dict[str, Any]] = self.get(f"/v1/runs/{run}/steps", order="asc", limit=1000)
        return answer

    def get(self, path: str, **query: str | int) -> Any:
        """The JSON at `path`."""
        return self._http.get(path, params=query).raise_for_status().json()

    def wait_ended(self, run: str, *, seconds: float = 300) -> None:
        """Return when the run's status is terminal."""
        until(lambda: self.run(run)["status"] in ENDED, seconds=seconds, every=0.3, what=f"{run} ends")

    def wait_newest(self, agent: str) -> str:
        """The agent's newest run, as soon as it is visible."""
        found = until(lambda: self.runs(agent), seconds=60, every=0.3, what=f"a run of {agent}")
        return str(found[0]["id"])

    def wait_pending(self, run: str, *, steps: int = 1) -> None:
        """Return when the run's last step, its `steps`th, is under way."""
        until(
            lambda: [step["status"] for step in self.steps(run)[steps - 1 :]] == ["pending"],
            seconds=180,
            every=0.3,
            what=f"step {steps} of {run} is pending",
        )


def _says(script: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"please run [[S:{script}]]"}]
