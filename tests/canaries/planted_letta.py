"""A Letta whose every answer is full of canaries: the stand-in, with one planted in each field that takes text.

What the bridge needs to follow a run stays as it is: ids, times, statuses, numbers and kinds. Every request is kept,
with its headers, and `fault` answers in the stand-in's place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from marks import Canaries
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from bridge.demo.standin.app import StandIn

_KINDS: Final = (
    ("message", r"/messages$"),
    ("run_metrics", r"/v1/runs/[^/]+/metrics$"),
    ("step_metrics", r"/v1/steps/[^/]+/metrics$"),
    ("step", r"/v1/runs/[^/]+/steps$|/v1/steps/"),
    ("run", r"/v1/runs/"),
    ("agent", r"/v1/agents/"),
    ("health", r"/v1/health/"),
)
_MALFORMED: Final = {"step": ("prompt_tokens", "error_data"), "message": ("id", "tool_calls")}
_FLOW: Final = frozenset({  # the bridge goes by them
    *("id", "run_id", "step_id", "agent_id", "status", "stop_reason", "message_type", "date", "created_at"),
    *("completed_at", "tool_call_id", "type", "feedback", "include_return_message_types", "callback_sent_at"),
})  # fmt: skip
_NUMBER: Final = re.compile(r"_ns$|_tokens$|_code$|^num_|_limit$|_details$")


@dataclass(frozen=True)
class Asked:
    """One request, as its bytes would read."""

    path: str
    text: bytes


class PlantedLetta:
    """An ASGI application."""

    def __init__(self, standin: StandIn, canaries: Canaries) -> None:
        self.asked: list[Asked] = []
        self.malformed = False  # whether steps and messages come with canaries where they do not fit
        self.fault: Callable[[Request], Response | None] = lambda _: None
        self._standin = standin
        self._canaries = canaries

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        head = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        self.asked.append(Asked(request.url.path, f"{request.method} {request.url}\n{head}".encode()))
        response = self.fault(request) or await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        status, headers, body = await _ask(self._standin, request)
        if status != 200:
            return Response(body, status, headers)
        kind = next(kind for kind, pattern in _KINDS if re.search(pattern, request.url.path))
        return JSONResponse(self._records(kind, json.loads(body)))

    def _records(self, kind: str, value: Any) -> Any:
        return [self._record(kind, each) for each in value] if isinstance(value, list) else self._record(kind, value)

    def _record(self, kind: str, record: dict[str, Any]) -> dict[str, Any]:
        if self.malformed and kind in _MALFORMED:
            return {**record, **{name: self._canaries(f"malformed {kind}") for name in _MALFORMED[kind]}}
        planted = {**record, **self._more(kind, record)}
        return {name: self._field(f"{kind}.{name}", name, value) for name, value in planted.items()}

    def _field(self, where: str, name: str, value: Any) -> Any:
        """The value with a canary in place of each text in it, and of nothing at all."""
        if name in _FLOW or _NUMBER.search(name) or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {key: self._field(f"{where}.{key}", key, inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._field(where, name, inner) for inner in value]
        if isinstance(value, str) and value.startswith("http"):
            return self._address(where)
        return self._canaries(where) if value is None or isinstance(value, str) else value

    def _address(self, where: str) -> str:
        user, password, path, query, fragment = (
            self._canaries(f"{where} {part}") for part in ("user", "password", "path", "query", "fragment")
        )
        return f"https://{user}:{password}@llm.example:8443/{path}?key={query}#{fragment}"

    def _more(self, kind: str, record: dict[str, Any]) -> dict[str, Any]:
        """What a real server may fill, and the stand-in does not."""
        match kind:
            case "run":
                metadata = {"result": {"messages": [{"content": ""}]}, "error": {"message": "", "traceback": ""}}
                config = {"system": "", "tool_rules": [""]}
                return {
                    "metadata": {**record["metadata"], **metadata, "own": ""},
                    "request_config": {**record["request_config"], **config},
                    "callback_url": "https://",
                    "background": True,
                    "surprise": {"prompt": ""},
                }
            case "step":
                error = {"message": "", "traceback": "", "details": {"prompt": ""}}
                failed = record["status"] == "failed"
                return {
                    "messages": [{"content": "", "role": ""}],
                    "tags": [""],
                    "error_data": error if failed else None,
                    "error_type": record["error_type"] if failed else None,
                    "prompt_tokens_details": {"note": ""},
                    "surprise": "",
                } | ({} if failed else {"error_data": {"unasked": ""}})
            case "agent":
                return {
                    "system": "",
                    "description": "",
                    "memory": {"blocks": [{"value": "", "label": ""}]},
                    "llm_config": {"model_endpoint": "https://", "put_inner_thoughts": ""},
                    "tool_exec_environment_variables": [{"key": "", "value": ""}],
                    "secrets": [{"value": ""}],
                }
            case "message":
                return {"signature": "", "hidden_reasoning": "", "stdout": [""], "stderr": [""], "tool_return": ""}
        return {}


async def _ask(app: StandIn, request: Request) -> tuple[int, dict[str, str], bytes]:
    """The stand-in's own answer; a failure of its is one of its answers."""
    said: dict[str, Any] = {"body": b""}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            said["status"] = message["status"]
            said["headers"] = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            said["body"] += message.get("body", b"")

    await app.app(request.scope, request.receive, send)
    return said["status"], said["headers"], said["body"]
