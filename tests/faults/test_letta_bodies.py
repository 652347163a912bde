"""Bodies that are not what the route promises, on the lists and on the records, for a while."""

from __future__ import annotations

import gzip

import pytest
from bridge_world import World
from faults.letta import LENGTHS, MESSAGES, RUN_LIST, STEPS, Answer, LettaSide, edits, page, rewrites, says
from faults.lines import Lines
from faults.promise import assert_promise, survived

JSON = {"content-type": "application/json"}
DEEP = b"[" * 100_000 + b"]" * 100_000
HUGE = says(200, gzip.compress(b" " * (40 << 20)), {**JSON, "content-encoding": "gzip"})

BODIES: dict[str, Answer] = {
    "truncated JSON": rewrites(lambda body: body[: len(body) * 2 // 3]),
    "JSON of the wrong shape": says(200, health="fine"),
    "a JSON null": says(200, "null", JSON),
    "a JSON text": says(200, '"fine"', JSON),
    "JSON nested without end": says(200, DEEP, JSON),
    "an empty body": says(200, b"", JSON),
    "a page with 200": page(200),
    "no gzip where it says gzip": says(200, b"plain", {**JSON, "content-encoding": "gzip"}),
    "more than memory holds": HUGE,
    "204": says(204),
    "a redirect to itself": says(307, b"", {"location": "http://letta.test/v1/runs/"}),
}
ROUTES = {"run list": RUN_LIST, "steps": STEPS, "messages": MESSAGES, "lengths": LENGTHS}
PAIRS = [
    pytest.param(answer, route, marks=pytest.mark.fault("letta", f"{kind} ({name})"), id=f"{kind}-{name}")
    for kind, answer in BODIES.items()
    for name, route in ROUTES.items()
    if name == "run list"
    or (name == "steps" and answer is not HUGE)
    or kind in {"truncated JSON", "a page with 200", "JSON of the wrong shape"}
]


@pytest.mark.parametrize(("answer", "route"), PAIRS)
async def test_a_body(world: World, letta: LettaSide, lines: Lines, answer: Answer, route: str) -> None:
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault(route, answer), length=4)
        await assert_promise(world, bridge)
    lines.assert_one("Letta")


NO_JSON = "it says JSON and is none"
FAILURES: dict[str, tuple[Answer, str]] = {
    f"500, {NO_JSON}": (says(500, "<h1>oh</h1>", JSON), "oh"),
    f"404, {NO_JSON}": (says(404, "<h1>where</h1>", JSON), "where"),
    "502 with 10 MB of text": (says(502, b"why " * (10 << 18)), "why"),
    "500 with a terminal's escape codes": (says(500, detail="\x1b[2J\x9b31mred\u2028line\u202e"), "red"),
    "503 with JSON nested without end": (says(503, DEEP, JSON), "503"),
    "400 with lone surrogates": (says(400, '{"detail": "\\ud83d"}', JSON), "400"),
}


@pytest.mark.parametrize(
    ("answer", "word"),
    [pytest.param(*what, marks=pytest.mark.fault("letta", kind), id=kind) for kind, what in FAILURES.items()],
)
async def test_a_failures_words(world: World, letta: LettaSide, lines: Lines, answer: Answer, word: str) -> None:
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault(STEPS, answer), length=4)
        await assert_promise(world, bridge)
    lines.assert_one("Letta", word)


TEXTS: dict[str, tuple[str, Answer]] = {
    "a lone surrogate": (STEPS, rewrites(lambda body: body.replace(b"gpt-4o", b"gpt-\\ud83d"))),
    "bytes that are no UTF-8": (STEPS, rewrites(lambda body: body.replace(b"gpt-4o", b"gpt-\xff\xfe"))),
    "a NUL in a text": (STEPS, rewrites(lambda body: body.replace(b"gpt-4o", b"gpt-\\u0000"))),
    "bytes that are no UTF-8 in the run list": (RUN_LIST, rewrites(lambda body: body.replace(b"send_m", b"\xff"))),
    "an unknown field": (STEPS, edits(lambda rows: [{**row, "mood": "fine"} for row in rows])),
    "an unknown status of a step": (STEPS, rewrites(lambda body: body.replace(b'"success"', b'"splendid"'))),
    "a status that is a number": (RUN_LIST, rewrites(lambda body: body.replace(b'"created"', b"7"))),
}


@pytest.mark.parametrize(
    ("route", "answer"),
    [pytest.param(*what, marks=pytest.mark.fault("letta", kind), id=kind) for kind, what in TEXTS.items()],
)
async def test_what_can_be_read_all_the_same(
    world: World, letta: LettaSide, lines: Lines, route: str, answer: Answer
) -> None:
    async with world.bridge() as bridge:
        await survived(world, bridge, letta.fault(route, answer))
        await assert_promise(world, bridge)
    lines.assert_quiet()
