"""What a real server does, but not on demand: the lab's was seen to, and here the stand-in alone shows it.

And what another Letta server may do: cursors and a step list as documented.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.demo import recording
from bridge.demo.standin.rows import EMPTY, Table
from contract.servers import StandInServer


async def until_metrics(server: StandInServer, step: str) -> list[int]:
    """The answers to GET …/metrics from now until it is 200."""
    answers: list[int] = []
    while answers[-1:] != [200]:
        answers.append((await server.http.get(f"/v1/steps/{step}/metrics")).status_code)
        await server.wait()
    return answers


async def test_run_visible_late_and_out_of_order(standin: StandInServer) -> None:
    now = standin.clock.now()
    slow, quick = f"run-{uuid.uuid4()}", f"run-{uuid.uuid4()}"
    standin.store.put(Table.RUNS, slow, {}, created_at=now, visible_at=now + 3.8)
    standin.store.put(Table.RUNS, quick, {}, created_at=now + 1, visible_at=now + 1.08)

    standin.clock.time = now + 2
    assert await standin.runs() == [quick]
    standin.clock.time = now + 4
    assert await standin.runs() == [quick, slow]
    assert await standin.runs(order="asc", before=quick) == []


async def test_zombie_step(standin: StandInServer) -> None:
    """Seen after kill -9 and after a SIGTERM that took too long."""
    run = await standin.run_of(await standin.play("server_killed"))
    standin.clock.time += 30 * 24 * 3600

    [step] = await standin.steps_of(run["id"])

    assert (step["status"], step["total_tokens"]) == ("pending", 0)
    assert (await standin.get(f"/v1/runs/{run['id']}"))["status"] == "running"
    assert (await standin.get(f"/v1/steps/{step['id']}/metrics"))["step_ns"] is None
    assert await standin.get(f"/v1/runs/{run['id']}/messages") == []


async def test_messages_after_success(standin: StandInServer) -> None:
    """By 50 ms at the median and 2.9 s at worst."""
    standin.pace = 0.01
    run = await standin.run_of(await standin.play("text"))

    async def final() -> bool:
        return [step["status"] for step in await standin.steps_of(run["id"])] == ["success"]

    await standin.until(final)
    messages = f"/v1/runs/{run['id']}/messages"
    assert await standin.get(messages) == []
    assert await standin.until(lambda: standin.get(messages))


async def test_metrics_late(standin: StandInServer) -> None:
    """404 until the row is there, 0.03 to 2.7 s after the step."""
    standin.pace = 0.01
    run = await standin.run_of(await standin.play("text"))
    [step] = await standin.until(lambda: standin.steps_of(run["id"]))

    assert (await until_metrics(standin, step["id"]))[0] == 404


async def test_metrics_never(standin: StandInServer) -> None:
    """Up to 4 % of the steps keep step_ns null for good, and about 2 % of the rows have no run_id."""
    step = f"step-{uuid.uuid4()}"
    standin.store.put(Table.STEPS, step, {"status": "success"})
    standin.store.put(Table.STEP_METRICS, step, {"llm_request_ns": 5, "run_id": None})

    metrics = await standin.get(f"/v1/steps/{step}/metrics")

    assert (metrics["step_ns"], metrics["run_id"]) == (None, None)


async def test_a_step_without_a_run_is_found_by_its_id_alone(standin: StandInServer) -> None:
    """As POST …/messages/preview-raw-payload makes them."""
    step = f"step-{uuid.uuid4()}"
    standin.store.put(Table.STEPS, step, {"status": "failed", "error_type": "Unknown"})

    assert (await standin.get(f"/v1/steps/{step}"))["run_id"] is None


async def test_documented_cursors(standin: StandInServer) -> None:
    agent, runs = await standin.several_runs()
    standin.standin.documented = True

    assert await standin.runs(agent_id=agent, order="desc", after=runs[3]) == runs[2::-1]
    assert await standin.runs(agent_id=agent, order="desc", before=runs[3]) == runs[:3:-1]
    assert await standin.runs(agent_id=agent, order="asc", after=runs[3]) == runs[4:]


async def test_a_global_step_list_that_works(standin: StandInServer) -> None:
    standin.standin.global_steps = True
    now = standin.clock.now()
    steps = [f"step-{uuid.uuid4()}" for _ in range(4)]
    for number, step in enumerate(steps):
        standin.store.put(Table.STEPS, step, {"model": f"model-{number}"}, created_at=now + number, visible_at=now)

    async def listed(**query: Any) -> list[str]:
        return [step["id"] for step in await standin.get("/v1/steps/", **query)]

    second = datetime.fromtimestamp(now + 1, UTC).isoformat()
    assert await listed() == steps[::-1]
    assert await listed(order="asc", start_date=second) == steps[2:]
    assert await listed(order="asc", end_date=second) == steps[:1]
    assert await listed(order="asc", after=steps[0], limit=2) == steps[1:3]
    assert await listed(model="model-2") == [steps[2]]
    assert await listed(has_feedback="true") == []


async def test_a_bad_date_of_the_global_step_list(standin: StandInServer) -> None:
    answer = await standin.http.get("/v1/steps/", params={"start_date": "yesterday"})

    assert (answer.status_code, answer.json()) == (400, {"detail": "Invalid isoformat string: 'yesterday'"})


@pytest.mark.parametrize("name", recording.names())
async def test_every_recording_plays(standin: StandInServer, name: str) -> None:
    played = recording.load(name)
    first = played.play(standin.store, standin.clock.now())
    second = played.play(standin.store, standin.clock.now(), speed=4)
    standin.clock.time += played.seconds()

    assert standin.store.pending() == 0
    assert set(first).isdisjoint(second)
    assert sorted(await standin.runs()) == sorted([*first, *second])
    for run in first:
        for step in await standin.steps_of(run):
            assert step.keys() == EMPTY[Table.STEPS].keys()
            assert step["agent_id"] == played.agent.id


async def test_speed_shrinks_what_was_measured(standin: StandInServer) -> None:
    [run] = recording.load("text").play(standin.store, standin.clock.now(), speed=10)
    [slow] = recording.load("text").play(standin.store, standin.clock.now())
    standin.clock.time += 10

    quick = await standin.get(f"/v1/runs/{run}/metrics")

    assert quick["run_ns"] * 10 == pytest.approx((await standin.get(f"/v1/runs/{slow}/metrics"))["run_ns"], abs=10)


def test_a_field_that_letta_does_not_have_is_refused(standin: StandInServer) -> None:
    with pytest.raises(KeyError, match="steps have no colour"):
        standin.store.put(Table.STEPS, "step-1", {"colour": "red"})


async def test_old_runs_can_be_forgotten(standin: StandInServer) -> None:
    now = standin.clock.now()
    [old] = recording.load("text").play(standin.store, now - 100)
    [young] = recording.load("text").play(standin.store, now - 10)

    standin.store.forget_runs(now - 50)

    assert await standin.runs() == [young]
    assert (await standin.http.get(f"/v1/runs/{old}/metrics")).status_code == 404
