"""The lives of runs and steps: what a poller sees, one test a trap."""

from __future__ import annotations

from datetime import datetime

import pytest

from contract.servers import RealServer, Record, Server


async def test_terminal_run_changes_its_mind(server: Server) -> None:
    agent = await server.play("approval_cancelled")

    waiting = await server.over(agent, "completed")
    cancelled = await server.over(agent, "cancelled")

    assert (waiting["stop_reason"], cancelled["stop_reason"]) == ("requires_approval", "cancelled")
    assert [step["status"] for step in await server.steps_of(cancelled["id"])] == ["success"]


async def test_success_after_cancel(server: Server) -> None:
    agent = await server.play("cancelled_then_completes")

    cancelled = await server.over(agent, "cancelled")
    assert [step["status"] for step in await server.steps_of(cancelled["id"])] == ["pending"]
    completed = await server.over(agent, "completed")

    assert completed["stop_reason"] == "end_turn"
    assert completed["completed_at"] == cancelled["completed_at"]
    [step] = await server.steps_of(completed["id"])
    assert (step["status"], step["stop_reason"]) == ("success", "end_turn")


async def test_failed_unknown_after_a_cancelled_stream(server: Server) -> None:
    """It turns when the server collects its garbage: mostly within seconds, on an idle server not within minutes."""
    agent = await server.play("stream_cancelled")
    run = await server.over(agent, "cancelled")

    for _ in range(100):
        [step] = await server.steps_of(run["id"])
        if step["status"] != "pending":
            break
        await server.wait()

    assert step["stop_reason"] is None
    if step["status"] == "pending":
        assert isinstance(server, RealServer)
    else:
        assert (step["status"], step["error_type"]) == ("failed", "Unknown")
        assert "GeneratorExit" in step["error_data"]["traceback"]
    assert (await server.run_of(agent))["status"] == "cancelled"


async def test_cancelled_in_a_tool(server: Server) -> None:
    agent = await server.play("cancelled_in_tool")
    run = await server.over(agent, "cancelled")

    async def done() -> Record | None:
        [step] = await server.steps_of(run["id"])
        return step if step["status"] == "success" else None

    step = await server.until(done)

    assert step is not None
    assert step["stop_reason"] is None
    assert (await server.run_of(agent))["status"] == "cancelled"


async def test_zombie_run(server: Server) -> None:
    """A message to a conversation, not streamed: its run stays `created` although its last step says end_turn."""
    agent = await server.play("conversation")
    run = await server.run_of(agent)

    async def last_step_is_over() -> bool:
        return [step["stop_reason"] for step in await server.steps_of(run["id"])][-1:] == ["end_turn"]

    assert await server.until(last_step_is_over)
    for _ in range(20):
        await server.wait()
    zombie = await server.run_of(agent)
    assert (zombie["status"], zombie["completed_at"], zombie["conversation_id"]) == ("created", None, None)
    assert zombie["id"] in await server.runs(active="true", limit=1000)


async def test_naive_completed_at(server: Server) -> None:
    run = await server.finished("text")

    created, completed = (datetime.fromisoformat(run[name]) for name in ("created_at", "completed_at"))

    assert run["created_at"].endswith("Z")
    assert created.tzinfo is not None
    assert completed.tzinfo is None


async def test_total_duration_is_in_the_list_alone(server: Server) -> None:
    run = await server.finished("text")
    agent = run["agent_id"]

    async def length() -> int | None:
        measured: int | None = (await server.run_of(agent))["total_duration_ns"]
        return measured

    measured = await server.until(length)
    metrics = await server.get(f"/v1/runs/{run['id']}/metrics")
    assert metrics["run_ns"] == measured
    assert (await server.get(f"/v1/runs/{run['id']}"))["total_duration_ns"] is None
    assert run["ttft_ns"] is None


async def test_stop_reason_null_on_failure(server: Server) -> None:
    run = await server.finished("llm_500", "failed")

    assert run["stop_reason"] is None
    assert isinstance(run["metadata"]["error"], str)
    [step] = await server.steps_of(run["id"])
    assert (step["status"], step["stop_reason"], step["error_type"]) == ("failed", "llm_api_error", "LLMServerError")
    assert step["error_data"].keys() == {"message", "traceback", "details"}


async def test_a_failed_stream_has_an_object_for_its_error(server: Server) -> None:
    run = await server.finished("llm_429", "failed")

    assert run["stop_reason"] == "llm_api_error"
    assert run["metadata"]["error"].keys() == {"message_type", "run_id", "error_type", "message", "detail", "seq_id"}
    assert run["metadata"]["error"]["run_id"] == run["id"]
    [step] = await server.steps_of(run["id"])
    assert step["error_type"] == "LLMRateLimitError"


async def test_failed_steps_have_no_messages(server: Server) -> None:
    run = await server.finished("llm_500", "failed")

    assert await server.get(f"/v1/runs/{run['id']}/messages") == []


async def test_completed_with_max_tokens(server: Server) -> None:
    run = await server.finished("length")

    assert run["stop_reason"] == "max_tokens_exceeded"
    [step] = await server.steps_of(run["id"])
    assert (step["status"], step["stop_reason"]) == ("success", "max_tokens_exceeded")


async def test_completed_with_max_steps(server: Server) -> None:
    run = await server.finished("max_steps")

    assert run["stop_reason"] == "max_steps"
    assert [step["stop_reason"] for step in await server.steps_of(run["id"])] == [None, None, None]


async def test_zero_tokens_with_success(server: Server) -> None:
    run = await server.finished("stream_dropped")

    [step] = await server.steps_of(run["id"])
    assert (step["status"], step["stop_reason"], step["total_tokens"]) == ("success", "end_turn", 0)


async def test_steps_before_the_last_keep_no_stop_reason(server: Server) -> None:
    run = await server.finished("tool_then_500", "failed")

    first, last = await server.steps_of(run["id"])
    assert (first["status"], first["stop_reason"]) == ("success", None)
    assert (last["status"], last["stop_reason"]) == ("failed", "llm_api_error")


async def test_a_step_carries_no_time(server: Server) -> None:
    run = await server.finished("text")
    [step] = await server.steps_of(run["id"])

    assert not [name for name in step if name.endswith(("_at", "_ns")) or "date" in name]
    assert (step["messages"], step["trace_id"], step["request_id"]) == ([], None, None)
    metrics = await server.get(f"/v1/steps/{step['id']}/metrics")
    step_ns, request_ns = metrics["step_ns"], metrics["llm_request_ns"]
    assert None in (step_ns, request_ns) or step_ns > request_ns > 0  # they come late, and a few never
    assert (metrics["step_start_ns"], metrics["llm_request_start_ns"]) == (None, None)


async def test_old_step_id_in_a_new_runs_tool_return(server: Server) -> None:
    agent = await server.play("approval")

    async def both_over() -> list[Record] | None:
        runs: list[Record] = await server.get("/v1/runs/", agent_id=agent, order="asc")
        return runs if [run["status"] for run in runs] == ["completed", "completed"] else None

    runs = await server.until(both_over)
    assert runs is not None
    assert [run["stop_reason"] for run in runs] == ["requires_approval", "end_turn"]
    [asking] = await server.steps_of(runs[0]["id"])
    answer, returned, said = await server.get(f"/v1/runs/{runs[1]['id']}/messages")
    assert (answer["message_type"], answer["step_id"]) == ("approval_response_message", None)
    assert (returned["message_type"], returned["step_id"]) == ("tool_return_message", asking["id"])
    assert said["step_id"] != asking["id"]
    assert {message["run_id"] for message in (answer, returned, said)} == {runs[1]["id"]}


async def test_the_old_step_lists_messages_of_the_new_run(server: Server) -> None:
    agent = await server.play("approval")

    async def executed() -> list[Record] | None:
        runs = await server.get("/v1/runs/", agent_id=agent, order="asc")
        steps = await server.steps_of(runs[0]["id"]) if runs else []
        messages = await server.get(f"/v1/steps/{steps[0]['id']}/messages") if steps else []
        return messages if len(messages) == 4 else None

    messages = await server.until(executed)

    assert messages is not None
    assert [message["message_type"] for message in messages] == [
        "user_message",
        "approval_request_message",
        "approval_response_message",
        "tool_return_message",
    ]
    assert len({message["run_id"] for message in messages}) == 2


async def test_message_id_twice(server: Server) -> None:
    run = await server.finished("older_agent")

    messages = await server.get(f"/v1/runs/{run['id']}/messages")

    kinds = [message["message_type"] for message in messages]
    assert kinds[1:3] == ["reasoning_message", "tool_call_message"]
    assert messages[1]["id"] == messages[2]["id"]
    assert await server.get(f"/v1/runs/{run['id']}/messages", after=messages[1]["id"]) == messages[3:]


async def test_a_page_counts_turns_and_not_messages(server: Server) -> None:
    run = await server.finished("older_agent")

    page = await server.get(f"/v1/runs/{run['id']}/messages", limit=2)

    assert [message["message_type"] for message in page] == ["user_message", "reasoning_message", "tool_call_message"]


async def test_parallel_tool_status(server: Server) -> None:
    """The message's own status is the first call's alone."""
    run = await server.finished("parallel_tools")

    messages = await server.get(f"/v1/runs/{run['id']}/messages")

    [call] = [message for message in messages if message["message_type"] == "tool_call_message"]
    [returned] = [message for message in messages if message["message_type"] == "tool_return_message"]
    assert len(call["tool_calls"]) == 3
    assert call["tool_call"] == call["tool_calls"][0]
    assert returned["status"] == "success"
    assert [one["status"] for one in returned["tool_returns"]] == ["success", "error", "success"]
    assert [one["tool_call_id"] for one in returned["tool_returns"]] == [
        one["tool_call_id"] for one in call["tool_calls"]
    ]


async def test_a_raising_tool_leaves_the_step_a_success(server: Server) -> None:
    run = await server.finished("tool_raises")

    assert [step["status"] for step in await server.steps_of(run["id"])] == ["success", "success"]
    messages = await server.get(f"/v1/runs/{run['id']}/messages")
    [returned] = [message for message in messages if message["message_type"] == "tool_return_message"]
    assert returned["status"] == "error"
    assert "ValueError" in returned["tool_return"]


async def test_run_messages_are_filtered_and_step_messages_are_not(server: Server) -> None:
    run = await server.finished("messages_filtered")

    filtered = await server.get(f"/v1/runs/{run['id']}/messages")
    steps = [step["id"] for step in await server.steps_of(run["id"])]
    by_step = [message for step in steps for message in await server.get(f"/v1/steps/{step}/messages")]

    assert [message["message_type"] for message in filtered] == ["assistant_message"]
    assert [message["message_type"] for message in by_step] == [
        "user_message",
        "tool_call_message",
        "tool_return_message",
        "reasoning_message",
    ]


async def test_a_page_of_filtered_messages_is_cut_before_it_is_filtered(server: Server) -> None:
    run = await server.finished("messages_filtered")

    assert await server.get(f"/v1/runs/{run['id']}/messages", limit=2) == []


async def test_step_messages_show_an_answer_as_reasoning(server: Server) -> None:
    run = await server.finished("text")
    [step] = await server.steps_of(run["id"])

    by_run = (await server.get(f"/v1/runs/{run['id']}/messages"))[-1]
    by_step = (await server.get(f"/v1/steps/{step['id']}/messages"))[-1]

    assert (by_run["message_type"], by_step["message_type"]) == ("assistant_message", "reasoning_message")
    assert (by_run["id"], by_run["content"]) == (by_step["id"], by_step["reasoning"])
    assert by_step["source"] == "non_reasoner_model"


async def test_message_dates_are_exact_to_the_second(server: Server) -> None:
    run = await server.finished("text")

    dates = [message["date"] for message in await server.get(f"/v1/runs/{run['id']}/messages")]

    assert all(len(date) == len("2026-11-21T23:00:02+00:00") and date.endswith("+00:00") for date in dates)


async def test_usage_capped_at_50(server: Server) -> None:
    run = await server.many_steps()
    steps = await server.steps_of(run)

    usage = await server.get(f"/v1/runs/{run}/usage")

    assert usage["prompt_tokens"] == sum(step["prompt_tokens"] for step in steps[-50:])
    assert usage["prompt_tokens"] < sum(step["prompt_tokens"] for step in steps)
    assert (usage["prompt_tokens_details"], usage["completion_tokens_details"]) == (None, None)


@pytest.mark.parametrize(("play", "end"), [
    ("text", "completed"), ("tool_ok", "completed"), ("tool_then_500", "failed"),
])  # fmt: skip
async def test_a_runs_metrics_count_all_of_its_steps(server: Server, play: str, end: str) -> None:
    run = await server.finished(play, end)

    async def counted() -> int | None:
        found = (await server.get(f"/v1/runs/{run['id']}/metrics"))["num_steps"]
        return found or None

    steps = await server.steps_of(run["id"])
    assert await server.until(counted) == len(steps)


async def test_metrics_null_while_the_step_is_pending(server: Server) -> None:
    agent = await server.play("cancelled_then_completes")
    run = await server.run_of(agent)

    async def metrics() -> Record | None:
        [*steps] = await server.steps_of(run["id"])
        if not steps:
            return None
        answer = await server.http.get(f"/v1/steps/{steps[0]['id']}/metrics")
        found: Record = answer.json()
        return found if answer.status_code == 200 else None

    found = await server.until(metrics)

    assert found is not None
    assert (found["step_ns"], found["llm_request_ns"], found["tool_execution_ns"]) == (None, None, None)
    run_metrics = await server.get(f"/v1/runs/{run['id']}/metrics")
    assert run_metrics["run_ns"] is None
    assert run_metrics["run_start_ns"] > 0


async def test_details_are_zero_filled_and_counts_are_null(server: Server) -> None:
    """A count that is 0 is null; the details beside it say 0."""
    run = await server.finished("text")
    [step] = await server.steps_of(run["id"])

    assert step["cache_write_tokens"] is None
    assert step["prompt_tokens_details"]["cache_creation_tokens"] == 0


async def test_a_sync_run_stays_created_until_it_ends_and_a_stream_says_running(server: Server) -> None:
    stream = await server.play("stream_cancelled")
    sync = await server.play("tool_raises")

    running = await server.over(stream, "running")

    assert running["stop_reason"] is None
    assert (await server.run_of(sync))["status"] in {"created", "completed"}
    assert (await server.over(sync, "completed"))["background"] is False
