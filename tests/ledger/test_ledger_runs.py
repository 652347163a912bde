"""What every ledger promises of its runs: which are known, due, watched and forgotten."""

import pytest
from ledger_samples import NOW, Reopen, asking, closed, followed, ids, visited

from bridge.follow.state import Phase
from bridge.ledger.figures import OpenRuns
from bridge.ledger.ledger import Ledger


class TestDiscover:
    async def test_enters_new_runs_as_they_are(self, ledger: Ledger, reopen: Reopen) -> None:
        run = followed("run-1", status="running", created_ns=2**60 + 1)
        assert await ledger.discover([run, followed("run-2")], now=0) == 2
        assert await (await reopen()).run("run-1") == run

    @pytest.mark.parametrize("id_", ["run-1", "run-\0-1", "run-\u00e9'\"", "run-\U0001f600"])
    async def test_leaves_known_runs_alone(self, ledger: Ledger, reopen: Reopen, id_: str) -> None:
        await ledger.discover([followed(id_)], now=0)
        await ledger.commit(visited(followed(id_, cursor="step-5", phase=Phase.CLOSED)))
        assert await ledger.discover([followed(id_), followed("run-2")], now=0) == 1
        known = await (await reopen()).run(id_)
        assert known is not None
        assert (known.cursor, known.phase) == ("step-5", Phase.CLOSED)

    async def test_counts_a_run_that_is_listed_twice_once(self, ledger: Ledger) -> None:
        assert await ledger.discover([followed("run-1"), followed("run-1")], now=0) == 1

    async def test_of_nothing_is_nothing(self, ledger: Ledger) -> None:
        assert await ledger.discover([], now=0) == 0

    async def test_advances_the_watermark_and_never_back(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.discover([], watermark_ns=2**60 + 1, now=0)
        await ledger.discover([], watermark_ns=7, now=0)
        await ledger.discover([], now=0)
        assert await (await reopen()).watermark() == 2**60 + 1

    async def test_forgets_old_tombstones_and_nothing_else(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.discover([followed(f"{phase}-old", phase=phase, created_ns=9) for phase in Phase], now=0)
        await ledger.discover([followed("closed-young", phase="closed", created_ns=10)], now=0)
        await ledger.discover([], forget_before_ns=10, now=0)
        reopened = await reopen()
        assert await reopened.run("closed-old") is None
        for kept in ("open-old", "dormant-old", "closed-young"):
            assert await reopened.run(kept) is not None

    async def test_forgets_no_run_that_is_watched(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.discover([closed("run-1", keep_until=NOW)], now=NOW)
        await ledger.discover([], forget_before_ns=10, now=NOW - 0.001)
        assert await ledger.run("run-1") is not None
        await ledger.discover([], forget_before_ns=10, now=NOW)
        assert await (await reopen()).run("run-1") is None

    async def test_forgets_no_run_that_awaits_an_approval(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.discover([asking("run-1", phase="closed")], now=NOW)
        await ledger.discover([], forget_before_ns=10, now=NOW)
        assert (await (await reopen()).open_runs()).awaiting_approval == 1

    async def test_forgets_a_request_for_approval_together_with_its_answers(self, ledger: Ledger) -> None:
        asked = [asking(f"run-{n}", phase="closed", created_ns=n) for n in range(1, 5)]
        await ledger.discover([*asked, closed("answer", created_ns=5)], now=NOW)
        await ledger.discover([], forget_before_ns=10, now=NOW)
        assert [await ledger.run(run.id) for run in asked] == [None] * 4
        assert (await ledger.open_runs()).awaiting_approval == 0

    @pytest.mark.parametrize("still", [{"keep_until": NOW + 60}, {"phase": "open"}])
    async def test_keeps_the_answer_to_a_request_that_stays(self, ledger: Ledger, still: dict[str, object]) -> None:
        first = asking("asking", **{"phase": "closed"} | still)
        again = asking("asking-again", phase="closed", created_ns=2)
        await ledger.discover([first, again, closed("answer", created_ns=3)], now=NOW)
        await ledger.discover([], forget_before_ns=10, now=NOW)
        assert (await ledger.open_runs()).awaiting_approval == 0

    async def test_an_answer_to_a_request_that_was_cancelled_goes(self, ledger: Ledger) -> None:
        cancelled = asking("asking", status="cancelled", phase="closed", keep_until=NOW + 60)
        await ledger.discover([cancelled, closed("answer", created_ns=3)], now=NOW)
        await ledger.discover([], forget_before_ns=10, now=NOW)
        assert await ledger.run("answer") is None


class TestLooks:
    async def test_gives_watched_runs_whose_time_has_come_the_most_overdue_first(self, ledger: Ledger) -> None:
        late, later = closed("late", next_visit=NOW - 1), closed("later", next_visit=NOW)
        watched = [run.model_copy(update={"keep_until": NOW}) for run in (later, late)]
        await ledger.discover(watched, now=NOW)
        await ledger.discover([closed("not-yet", next_visit=NOW + 1, keep_until=NOW + 9)], now=NOW)
        await ledger.discover([closed("no-more", next_visit=NOW - 9, keep_until=NOW - 1)], now=NOW)
        await ledger.discover([closed("never", next_visit=NOW - 9), followed("open", keep_until=NOW + 9)], now=NOW)
        assert await ledger.looks(now=NOW, limit=9) == [watched[1], watched[0]]
        assert ids(await ledger.looks(now=NOW, limit=1)) == ["late"]

    async def test_gives_a_dormant_run_whose_time_has_come_after_all_others(self, ledger: Ledger) -> None:
        asleep = [followed(f"asleep-{late}", phase="dormant", next_visit=NOW - late) for late in (1, 2, -1)]
        await ledger.discover([*asleep, closed("watched", next_visit=NOW, keep_until=NOW)], now=NOW)
        assert ids(await ledger.looks(now=NOW, limit=9)) == ["watched", "asleep-2", "asleep-1"]
        assert ids(await ledger.looks(now=NOW, limit=2)) == ["watched", "asleep-2"]

    async def test_a_watched_run_is_not_visited_as_an_open_one(self, ledger: Ledger) -> None:
        await ledger.discover([closed("run-1", keep_until=NOW + 9)], now=NOW)
        assert await ledger.due(now=NOW, limit=9) == []

    @pytest.mark.parametrize("change", [{"status": "cancelled"}, {"stop_reason": "cancelled"}])
    async def test_a_closed_run_that_is_listed_with_a_change_is_looked_at_before_all(
        self, ledger: Ledger, reopen: Reopen, change: dict[str, str]
    ) -> None:
        known = closed("changed", status="completed", stop_reason="end_turn", cursor="step-1")
        await ledger.discover([known, closed("overdue", next_visit=1, keep_until=NOW + 9)], now=NOW)
        listed = followed("changed", **{"status": "completed", "stop_reason": "end_turn"} | change)
        assert await ledger.discover([listed], now=NOW) == 0
        reopened = await reopen()
        expected = known.model_copy(update={"next_visit": NOW})
        assert (await reopened.looks(now=NOW, limit=1)) == [expected]
        assert ids(await reopened.looks(now=NOW, limit=9)) == ["changed", "overdue"]

    async def test_a_change_is_looked_at_though_it_is_listed_no_more(self, ledger: Ledger) -> None:
        await ledger.discover([closed("run-1", status="completed")], now=NOW)
        await ledger.discover([followed("run-1", status="cancelled")], now=NOW)
        await ledger.discover([], forget_before_ns=10, now=NOW + 1)
        assert ids(await ledger.looks(now=NOW + 1, limit=9)) == ["run-1"]

    async def test_a_look_is_settled_by_storing_the_run(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.discover([closed("run-1", status="completed")], now=NOW)
        changed = followed("run-1", status="cancelled")
        await ledger.discover([changed], now=NOW)
        await ledger.commit(visited(closed("run-1", status="cancelled")))
        reopened = await reopen()
        await reopened.discover([changed], now=NOW)
        assert await reopened.looks(now=NOW, limit=9) == []

    async def test_the_same_or_an_open_run_is_no_change(self, ledger: Ledger) -> None:
        asleep = followed("asleep", phase="dormant", next_visit=NOW + 1)
        runs = [closed("closed", status="completed"), followed("open"), asleep]
        await ledger.discover(runs, now=NOW)
        listed = [followed("closed", status="completed"), followed("open", status="failed")]
        await ledger.discover([*listed, followed("asleep", status="failed")], now=NOW)
        assert await ledger.looks(now=NOW, limit=9) == []
        assert [await ledger.run(run.id) for run in runs] == runs


class TestActive:
    async def test_lists_open_and_dormant_runs_that_were_created_or_running(self, ledger: Ledger) -> None:
        await ledger.discover(
            [
                followed("open", status="running", created_ns=5),
                followed("dormant", phase="dormant", created_ns=6),
                followed("closed", phase="closed"),
                followed("over", status="completed"),
                followed("new-kind", status="paused"),
                followed("unknown", status=None),
            ],
            now=0,
        )
        assert sorted(await ledger.active()) == [("dormant", 6), ("open", 5)]

    async def test_follows_what_was_seen_last(self, ledger: Ledger) -> None:
        await ledger.discover([followed("run-1", status="running")], now=0)
        await ledger.commit(visited(followed("run-1", status="failed")))
        assert await ledger.active() == []


class TestDue:
    async def test_gives_open_runs_whose_time_has_come(self, ledger: Ledger) -> None:
        run = followed("now", next_visit=NOW)
        await ledger.discover([run, followed("later", next_visit=NOW + 0.001)], now=0)
        await ledger.discover([followed("asleep", phase="dormant"), followed("gone", phase="closed")], now=0)
        assert await ledger.due(now=NOW, limit=9) == [run]

    async def test_gives_the_longest_unvisited_first(self, ledger: Ledger) -> None:
        await ledger.discover([followed(str(at), last_visit=NOW - at) for at in (1, 3, 2)], now=0)
        assert ids(await ledger.due(now=NOW, limit=2)) == ["3", "2"]

    async def test_gives_older_runs_first_among_the_unvisited(self, ledger: Ledger) -> None:
        await ledger.discover(
            [followed("b", created_ns=2), followed("a", created_ns=1), followed("c", created_ns=3)], now=0
        )
        assert ids(await ledger.due(now=NOW, limit=9)) == ["a", "b", "c"]

    async def test_a_clock_that_was_set_back_stalls_nothing(self, ledger: Ledger) -> None:
        await ledger.discover([followed("run-1", last_visit=NOW + 3600, next_visit=NOW + 3605)], now=NOW)
        await ledger.discover([followed("visited", last_visit=NOW, next_visit=NOW + 5)], now=NOW)
        assert ids(await ledger.due(now=NOW, limit=9)) == ["run-1"]

    async def test_nor_does_it_stall_a_woken_run(self, ledger: Ledger) -> None:
        await ledger.discover([followed("run-1", next_visit=NOW + 60)], now=NOW)
        await ledger.wake(["run-1"], now=NOW + 30)
        assert ids(await ledger.due(now=NOW, limit=9)) == ["run-1"]


class TestWake:
    async def test_makes_open_and_dormant_runs_due(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.discover([followed("open", next_visit=NOW + 60), followed("dormant", phase="dormant")], now=0)
        await ledger.wake(["open", "dormant"], now=NOW + 1)
        due = await (await reopen()).due(now=NOW + 1, limit=9)
        assert {(run.id, run.phase, run.next_visit) for run in due} == {
            ("open", Phase.OPEN, NOW + 1),
            ("dormant", Phase.OPEN, NOW + 1),
        }

    async def test_leaves_closed_and_unknown_runs_alone(self, ledger: Ledger) -> None:
        closed = followed("closed", phase="closed")
        await ledger.discover([closed], now=0)
        await ledger.wake(["closed", "unknown"], now=NOW)
        assert await ledger.run("closed") == closed
        assert await ledger.run("unknown") is None

    async def test_goes_before_the_longest_unvisited_until_its_visit(self, ledger: Ledger) -> None:
        await ledger.discover([followed("old", last_visit=NOW - 9), followed("woken", last_visit=NOW - 1)], now=0)
        await ledger.wake(["woken"], now=NOW)
        assert ids(await ledger.due(now=NOW, limit=1)) == ["woken"]
        await ledger.commit(visited(followed("woken", last_visit=NOW)))
        assert ids(await ledger.due(now=NOW, limit=1)) == ["old"]


class TestOpenRuns:
    async def test_counts_open_runs_by_status(self, ledger: Ledger) -> None:
        await ledger.discover(
            [
                followed("a", status="running", created_ns=7),
                followed("b", status="running", created_ns=5),
                followed("c", status=None, created_ns=6),
                followed("zombie", phase="dormant", created_ns=1),
                followed("over", phase="closed", created_ns=2),
            ],
            now=0,
        )
        assert await ledger.open_runs() == OpenRuns({"running": 2, "unknown": 1}, 5, 0)

    @pytest.mark.parametrize("phase", ["open", "closed"])
    async def test_counts_what_waits_for_approval(self, ledger: Ledger, phase: str) -> None:
        await ledger.discover([asking("run-1", phase=phase), asking("run-2", phase=phase, agent_id="agent-2")], now=0)
        assert (await ledger.open_runs()).awaiting_approval == 2
        assert await ledger.awaiting_approval() == {"run-1", "run-2"}

    async def test_a_newer_run_of_the_agent_ends_the_wait(self, ledger: Ledger) -> None:
        await ledger.discover(
            [asking("run-1"), followed("run-2", created_ns=2), followed("run-0", created_ns=0)], now=0
        )
        assert (await ledger.open_runs()).awaiting_approval == 0

    async def test_an_older_run_or_another_agents_does_not(self, ledger: Ledger) -> None:
        other = followed("run-2", created_ns=2, agent_id="agent-2")
        await ledger.discover([asking("run-1"), followed("run-0", created_ns=0), other], now=0)
        assert (await ledger.open_runs()).awaiting_approval == 1

    async def test_a_cancelled_run_does_not_wait(self, ledger: Ledger) -> None:
        await ledger.discover([asking("run-1", status="cancelled")], now=0)
        assert (await ledger.open_runs()).awaiting_approval == 0
