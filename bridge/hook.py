"""POST /step-complete, for Letta's webhook: it only hastens the next sweep of that step's run.

Letta (0.16.8) waits for the answer within the agent's own step, and asks once: so it is answered at once, with 202,
before anything is done. The key is compared in constant time, before any of the body is read; of that no more is read
than a hook needs. What is wrong is one line, to the caller: 401 for the key, 400 for the rest. Nothing of the body is
logged or repeated.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from bridge.clock import Clock
from bridge.log import get_logger
from bridge.observe import WakeOutcome
from bridge.trouble import Recurring
from bridge.wake import Outcome

_log = get_logger(__name__)

PATH: Final = "/step-complete"

_ACCEPTED, _INVALID, _REFUSED = 202, 400, 401
_NO_MORE: Final = {"connection": "close"}  # else the server reads the rest of the body, and drops it
_LONGEST: Final = 4096  # bytes; Letta's own is 57
_PATIENCE: Final = 5.0  # seconds for the whole body
_STEP_ID: Final = re.compile(r"step-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_WANTED: Final = 'this takes {"step_id": "step-<uuid>"} as JSON, as Letta\'s STEP_COMPLETE_WEBHOOK posts it\n'
_WRONG_KEY: Final = "the key is missing or wrong: STEP_COMPLETE_KEY of Letta has to be the bridge's BRIDGE_WAKE_KEY\n"


@dataclass(frozen=True, slots=True)
class Hook:
    """The endpoint.

    Attributes:
        key: what the caller has to know.
        wake: told the step; returns what became of it.
        count: told the outcome of each request: that, or `refused`, or `invalid`.
        clock: to say once an hour that a key is wrong.
    """

    key: SecretStr
    wake: Callable[[str], Outcome]
    count: Callable[[WakeOutcome], None]
    clock: Clock
    _said: Recurring = field(default_factory=lambda: Recurring(_log))

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        if not self._knows_the_key(request):
            self.count("refused")
            self._said.met(
                "a wake-up came without the right key: set STEP_COMPLETE_KEY of the Letta server to BRIDGE_WAKE_KEY",
                now=self.clock.now(),
            )
            return PlainTextResponse(_WRONG_KEY, _REFUSED, {"www-authenticate": "Bearer", **_NO_MORE})
        step_id = _step_id(await _body(request))
        if step_id is None:
            self.count("invalid")
            return PlainTextResponse(_WANTED, _INVALID, _NO_MORE)
        self.count(self.wake(step_id))
        return Response(status_code=_ACCEPTED)

    def _knows_the_key(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.encode("latin-1"), self.key.get_secret_value().encode())
        return same and scheme.lower() == "bearer"


async def _body(request: Request) -> bytes | None:
    """All of it, or None where it is too long or does not come."""
    body = bytearray()
    try:
        async with asyncio.timeout(_PATIENCE):
            async for piece in request.stream():
                body += piece
                if len(body) > _LONGEST:
                    return None
    except (ClientDisconnect, TimeoutError):
        return None
    return bytes(body)


def _step_id(body: bytes | None) -> str | None:
    try:
        told = json.loads(body or b"")
    except (ValueError, RecursionError):
        return None
    step_id = told.get("step_id") if isinstance(told, dict) else None
    return step_id if isinstance(step_id, str) and _STEP_ID.fullmatch(step_id) else None
