"""The lists: order, limits, filters and cursors, each as it was measured."""

from __future__ import annotations

import re
from typing import Any

import pytest

from contract.servers import MANY_STEPS, Server

NOWHERE = "00000000-0000-4000-8000-000000000000"


async def walk(server: Server, agent: str, cursor: str, **query: Any) -> list[str]:
    """Page after page, each after the last row of the one before, until a page is empty or ten were read."""
    found: list[str] = []
    for _ in range(10):
        page = await server.runs(agent_id=agent, limit=3, **query)
        if not page:
            break
        found += page
        query[cursor] = page[-1]
    return found


async def test_runs_come_newest_first(server: Server) -> None:
    agent, runs = await server.several_runs()

    assert await server.runs(agent_id=agent) == runs[::-1]
    assert await server.runs(agent_id=agent, order="asc") == runs
    assert await server.runs(agent_id=agent, ascending="true") == runs


@pytest.mark.parametrize(
    ("order", "cursor", "expected"),
    [
        ("asc", "after", [0, 1, 2]),
        ("asc", "before", [4, 5, 6]),
        ("desc", "after", [6, 5, 4]),
        ("desc", "before", [2, 1, 0]),
    ],
)
async def test_runs_cursor_inverted(server: Server, order: str, cursor: str, expected: list[int]) -> None:
    agent, runs = await server.several_runs()

    page = await server.runs(agent_id=agent, order=order, **{cursor: runs[3]})

    assert page == [runs[number] for number in expected]


async def test_runs_between_two_cursors(server: Server) -> None:
    agent, runs = await server.several_runs()

    assert await server.runs(agent_id=agent, order="desc", after=runs[1], before=runs[5]) == runs[4:1:-1]
    assert await server.runs(agent_id=agent, order="asc", after=runs[1], before=runs[5]) == []


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_walking_runs_as_documented_goes_round_in_circles(server: Server, order: str) -> None:
    agent, runs = await server.several_runs()

    assert set(await walk(server, agent, "after", order=order)) < set(runs)
    assert sorted(await walk(server, agent, "before", order=order)) == sorted(runs)


@pytest.mark.parametrize("cursor", [f"run-{NOWHERE}", "garbage"])
@pytest.mark.parametrize("parameter", ["after", "before"])
async def test_unknown_run_cursor_starts_over(server: Server, cursor: str, parameter: str) -> None:
    agent, runs = await server.several_runs()

    assert await server.runs(agent_id=agent, limit=2, **{parameter: cursor}) == runs[:4:-1]


async def test_run_cursor_may_be_outside_the_filter(server: Server) -> None:
    agent, runs = await server.several_runs()
    other = await server.over(await server.play("text"))

    assert await server.runs(agent_id=agent, limit=2, order="desc", before=other["id"]) == runs[:4:-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_equal_timestamps_of_runs_are_walked_completely(server: Server, order: str) -> None:
    run = await server.over(await server.play("text"))
    runs = [run["id"]] + [await server.copy_run(run["id"], seconds=seconds) for seconds in (-1, 0, 0, 0, 0, 1)]

    found = await walk(server, run["agent_id"], "before", order=order)

    assert found == await server.runs(agent_id=run["agent_id"], order=order)
    assert sorted(found) == sorted(runs)


async def test_run_visible_late_and_out_of_order(server: Server) -> None:
    run = await server.over(await server.play("text"))

    late = await server.copy_run(run["id"], seconds=-1)

    assert await server.runs(agent_id=run["agent_id"], order="asc", before=run["id"]) == []
    assert await server.runs(agent_id=run["agent_id"]) == [run["id"], late]


@pytest.mark.parametrize(
    ("limit", "kind", "words"),
    [
        ("0", "greater_than_equal", "Input should be greater than or equal to 1"),
        ("1001", "less_than_equal", "Input should be less than or equal to 1000"),
        ("", "int_parsing", "Input should be a valid integer, unable to parse string as an integer"),
    ],
)
async def test_runs_limit_is_1_to_1000(server: Server, limit: str, kind: str, words: str) -> None:
    answer = await server.http.get("/v1/runs/", params={"limit": limit})

    assert answer.status_code == 422
    body = answer.json()
    assert body["trace_id"] == ""
    context = {"0": ", 'ctx': {'ge': 1}", "1001": ", 'ctx': {'le': 1000}", "": ""}[limit]
    assert body["detail"] == (
        f"[{{'type': '{kind}', 'loc': ('query', 'limit'), 'msg': '{words}', 'input': '{limit}'{context}}}]"
    )


async def test_filters_of_the_run_list(server: Server) -> None:
    agent, runs = await server.several_runs()
    everything = runs[::-1]

    assert await server.runs(agent_id=agent, statuses="completed") == everything
    assert await server.runs(agent_id=agent, statuses=["failed", "completed"]) == everything
    assert await server.runs(agent_id=agent, statuses="failed") == []
    assert await server.runs(agent_id=agent, active="true") == []
    assert await server.runs(agent_id=agent, active="true", statuses="completed") == everything
    assert await server.runs(agent_id=agent, background="false") == everything
    assert await server.runs(agent_id=agent, background="true") == []
    assert await server.runs(agent_id=agent, stop_reason="end_turn") == everything
    assert await server.runs(agent_id=agent, stop_reason="error") == []
    assert await server.runs(agent_id=agent, conversation_id="none") == []
    assert await server.runs(agent_id=f"agent-{NOWHERE}") == []


@pytest.mark.parametrize("status", ["bogus", "completed,failed"])
async def test_a_bogus_status_is_a_bad_request(server: Server, status: str) -> None:
    answer = await server.http.get("/v1/runs/", params={"statuses": status})

    assert (answer.status_code, answer.json()) == (400, {"detail": f"'{status}' is not a valid RunStatus"})


async def test_unknown_parameters_and_dates_are_ignored(server: Server) -> None:
    agent, runs = await server.several_runs()

    assert await server.runs(agent_id=agent, foo="1", start_date="2999-01-01T00:00:00Z") == runs[::-1]


async def test_steps_come_newest_first_and_walk_on_after_the_last(server: Server) -> None:
    run = await server.many_steps()
    steps = [step["id"] for step in await server.steps_of(run)]
    path = f"/v1/runs/{run}/steps"

    async def page(**query: Any) -> list[str]:
        return [step["id"] for step in await server.get(path, **query)]

    assert len(steps) == MANY_STEPS
    assert await page(limit=3) == steps[:-4:-1]
    assert await page(order="asc", limit=3, after=steps[10]) == steps[11:14]
    assert await page(order="desc", limit=3, after=steps[10]) == steps[9:6:-1]


async def test_before_of_steps_gives_the_far_end(server: Server) -> None:
    run = await server.many_steps()
    steps = [step["id"] for step in await server.steps_of(run)]
    path = f"/v1/runs/{run}/steps"

    far = await server.get(path, order="asc", limit=3, before=steps[10])
    newest = await server.get(path, order="desc", limit=3, before=steps[10])
    middle = await server.get(path, order="asc", limit=3, after=steps[10], before=steps[20])

    assert [step["id"] for step in far] == steps[:3]
    assert [step["id"] for step in newest] == steps[:-4:-1]
    assert [step["id"] for step in middle] == steps[13:16]


async def test_steps_between_cursors_the_wrong_way_round(server: Server) -> None:
    run = await server.many_steps()
    steps = [step["id"] for step in await server.steps_of(run)]

    answer = await server.http.get(f"/v1/runs/{run}/steps", params={"after": steps[9], "before": steps[3]})

    assert answer.status_code == 400
    assert answer.json() == {"detail": "'before' reference must be later than 'after' reference"}


async def test_equal_timestamps_of_steps(server: Server) -> None:
    """Oldest first walks them all; newest first loses some and doubles others."""
    run = (await server.over(await server.play("max_steps")))["id"]
    steps = [step["id"] for step in await server.steps_of(run)]
    await server.make_simultaneous(steps)
    path = f"/v1/runs/{run}/steps"

    async def walk_steps(order: str) -> list[str]:
        found: list[str] = []
        query: dict[str, Any] = {"order": order, "limit": 1}
        while len(found) < 2 * len(steps) and (page := await server.get(path, **query)):
            found.append(page[0]["id"])
            query["after"] = page[0]["id"]
        return found

    assert await walk_steps("asc") == sorted(steps)
    assert await walk_steps("desc") != sorted(steps, reverse=True)


@pytest.mark.parametrize("cursor", [f"step-{NOWHERE}", "garbage"])
async def test_unknown_step_cursor_is_not_found(server: Server, cursor: str) -> None:
    _, runs = await server.several_runs()

    answer = await server.http.get(f"/v1/runs/{runs[0]}/steps", params={"after": cursor})

    assert (answer.status_code, answer.json()) == (404, {"detail": f"No Step found with id {cursor}"})


async def test_a_step_of_another_run_is_taken_as_cursor(server: Server) -> None:
    run = (await server.finished("tool_raises"))["id"]
    other = (await server.over(await server.play("text")))["id"]
    stranger = (await server.steps_of(other))[0]["id"]

    assert await server.get(f"/v1/runs/{run}/steps", order="desc", after=stranger) == (
        await server.get(f"/v1/runs/{run}/steps", order="desc")
    )


async def test_limits_of_steps_and_messages(server: Server) -> None:
    run = (await server.finished("text"))["id"]

    for kind in ("steps", "messages"):
        path = f"/v1/runs/{run}/{kind}"
        assert await server.get(path, limit=0) == []
        assert await server.get(path, limit=100_000)
        negative = await server.http.get(path, params={"limit": -1})
        assert (negative.status_code, negative.json()) == (500, {"detail": "A database error occurred."})


async def test_messages_walk_on_after_the_last(server: Server) -> None:
    run = (await server.finished("tool_raises"))["id"]
    path = f"/v1/runs/{run}/messages"
    messages = await server.get(path)

    assert [message["message_type"] for message in messages] == [
        "user_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    assert await server.get(path, order="desc") == messages[::-1]
    assert await server.get(path, after=messages[1]["id"]) == messages[2:]
    unknown = await server.http.get(path, params={"after": f"message-{NOWHERE}"})
    assert unknown.status_code == 404
    assert unknown.json() == {"detail": f"No message found with id 'message-{NOWHERE}' for agent 'None'."}


@pytest.mark.parametrize("query", [{}, {"order": "asc"}, {"order": "desc", "limit": "1"}])
async def test_the_global_step_list_is_broken(server: Server, query: dict[str, str]) -> None:
    answer = await server.http.get("/v1/steps/", params=query)

    assert answer.status_code == 400
    ascending = query.get("order") == "asc"
    words = f"Argument order does not match type typing.Optional[str]; is {ascending} of type <class 'bool'>"
    assert answer.json() == {"detail": words}


async def test_what_is_not_there(server: Server) -> None:
    run, step, agent = f"run-{NOWHERE}", f"step-{NOWHERE}", f"agent-{NOWHERE}"
    expected = {
        f"/v1/runs/{run}": f"Run not found with id='['{run}']'",
        f"/v1/runs/{run}/steps": f"Run not found with id='['{run}']'",
        f"/v1/runs/{run}/messages": f"Run not found with id='['{run}']'",
        f"/v1/runs/{run}/usage": f"Run not found with id='['{run}']'",
        f"/v1/runs/{run}/metrics": f"RunMetrics not found with id='['{run}']'",
        f"/v1/steps/{step}": f"Step not found with id='['{step}']'",
        f"/v1/steps/{step}/metrics": f"StepMetrics not found with id='['{step}']'",
        f"/v1/agents/{agent}": f"Agent with ID {agent} not found",
        "/v1/nothing": "Not Found",
    }
    for path, words in expected.items():
        answer = await server.http.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["detail"].startswith(words), path


async def test_the_messages_of_an_unknown_step_are_none(server: Server) -> None:
    assert await server.get(f"/v1/steps/step-{NOWHERE}/messages") == []


@pytest.mark.parametrize("rest", ["", "/steps", "/messages", "/metrics", "/usage"])
async def test_a_garbage_run_id_is_a_bad_request(server: Server, rest: str) -> None:
    answer = await server.http.get(f"/v1/runs/garbage{rest}")

    assert answer.status_code == 400
    words = "INVALID_ARGUMENT: Invalid run ID format: garbage. Expected format: 'run-<uuid4>'"
    assert answer.json() == {"detail": words}


@pytest.mark.parametrize("path", ["/v1/steps/garbage", "/v1/steps/garbage/metrics", "/v1/agents/garbage"])
async def test_a_garbage_step_or_agent_id_is_unprocessable(server: Server, path: str) -> None:
    answer = await server.http.get(path)

    kind = "step" if "steps" in path else "agent"
    body = answer.json()
    assert answer.status_code == 422
    assert body["examples"] == [f"{kind}-123e4567-e89b-42d3-8456-426614174000"]
    assert re.match(r"\[{'type': 'string_pattern_mismatch', 'loc': \('path', '" + kind + r"_id'\)", body["detail"])
    assert f"String should match pattern '{kind}-{{uuid4}}'" in body["detail"]
