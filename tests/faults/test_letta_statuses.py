"""Each status that Letta or what stands before it can answer, on each kind of route."""

from __future__ import annotations

import pytest
from bridge_world import World
from faults.letta import LENGTHS, MESSAGES, RUN_LIST, STEPS, Answer, LettaSide, page, says
from faults.lines import Lines
from faults.promise import assert_promise, survived

STATUSES: dict[str, Answer] = {
    "400": says(400, detail="INVALID_ARGUMENT: no"),
    "401": says(401, detail="Unauthorized"),
    "403": says(403, detail="Forbidden"),
    "404 of a proxy": page(404),
    "405": says(405, detail="Method Not Allowed"),
    "408": says(408, detail="Request Timeout"),
    "409": says(409, detail="CONFLICT"),
    "422": says(422, trace_id="", detail="[{'type': 'missing'}]"),
    "429": says(429, detail="Too Many Requests"),
    "500": says(500, detail="An unknown error occurred"),
    "502": page(502),
    "503": says(503, detail="Service Unavailable"),
    "504": page(504),
}
ROUTES = {"the run list": RUN_LIST, "the steps of a run": STEPS, "messages": MESSAGES, "lengths": LENGTHS}
FAULTS = [
    pytest.param(answer, route, marks=pytest.mark.fault("letta", f"{status} from {name}"), id=f"{status}-{name}")
    for status, answer in STATUSES.items()
    for name, route in ROUTES.items()
]


@pytest.mark.parametrize(("answer", "route"), FAULTS)
async def test_a_status(world: World, letta: LettaSide, lines: Lines, answer: Answer, route: str) -> None:
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault(route, answer))
        await assert_promise(world, bridge)
    lines.assert_one("Letta")
