"""What every ledger promises; an implementation joins by a line in the LEDGERS of conftest.py."""

import pytest
from ledger_samples import (
    DURATION,
    FULL_PLAN,
    LETTER,
    NOW,
    STEPS,
    SUCCESS,
    TELLING,
    UNREADABLE,
    Opener,
    Reopen,
    batch,
    counted,
    followed,
    visited,
)

from bridge.errors import LedgerError
from bridge.ledger.figures import OpenRuns
from bridge.ledger.ledger import Batch, Ledger, Plan, SeriesKey, Told, Total


async def test_a_new_ledger_knows_nothing(ledger: Ledger) -> None:
    assert await ledger.start_ns() == NOW * 1e9
    assert await ledger.origin() is None
    assert await ledger.watermark() is None
    assert await ledger.steps_watermark() is None
    assert await ledger.loose_steps() == set()
    assert await ledger.active() == []
    assert await ledger.due(now=NOW, limit=9) == []
    assert await ledger.looks(now=NOW, limit=9) == []
    assert await ledger.run("run-1") is None
    assert await ledger.in_flight() is None
    assert await ledger.totals() == {}
    assert await ledger.open_runs() == OpenRuns({}, None, 0)
    assert await ledger.dead_letter_count() == 0
    assert await ledger.dead_letters() == []
    assert await ledger.dead_letter(1) is None
    assert await ledger.failures() == []
    assert await ledger.told() == Told(int(NOW * 1e9), {})
    assert await ledger.exports_aside() == []
    assert await ledger.size_bytes() > 0


async def test_totals_count_from_the_first_opening(opener: Opener) -> None:
    await opener(now=NOW)
    assert await (await opener(now=NOW + 60)).start_ns() == NOW * 1e9


async def test_the_origin_is_fixed_once(ledger: Ledger, reopen: Reopen) -> None:
    await ledger.begin(5)
    await ledger.begin(6)
    assert await (await reopen()).origin() == 5


async def test_streams_of_one_ledger_know_nothing_of_each_other(opener: Opener) -> None:
    first = await opener(destination="one")
    await first.discover([followed("run-1")], watermark_ns=9, now=0)
    await first.begin(1)
    await first.prepare(batch(b"x"))
    await first.commit(batch(plan=FULL_PLAN), [LETTER])
    await first.prepare(batch(b"y"))
    await first.put_exports_aside(TELLING, until_ns=int(NOW * 1e9) + 1)
    await first.settle_export((await first.exports_aside())[0].id, taken=True)

    other = await opener(destination="two")

    await test_a_new_ledger_knows_nothing(other)


class TestPrepare:
    async def test_keeps_a_batch_byte_for_byte(self, ledger: Ledger, reopen: Reopen) -> None:
        aside = batch(b"\x00\xff", b"", bytes(range(256)) * 100, plan=FULL_PLAN)
        await ledger.prepare(aside)
        assert await (await reopen()).in_flight() == aside

    async def test_keeps_the_types_of_the_plan(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.prepare(batch(b"x", plan=FULL_PLAN))
        kept = await (await reopen()).in_flight()
        assert kept is not None
        assert repr(kept.plan) == repr(FULL_PLAN)  # True, 1 and 1.0 are equal, so == would not tell

    async def test_changes_nothing_else(self, ledger: Ledger) -> None:
        await ledger.prepare(batch(b"x", plan=FULL_PLAN))
        assert await ledger.totals() == {}
        assert await ledger.run("run-1") is None
        assert await ledger.failures() == []

    async def test_refuses_a_second_batch_and_keeps_the_first(self, ledger: Ledger) -> None:
        await ledger.prepare(batch(b"first"))
        with pytest.raises(LedgerError):
            await ledger.prepare(batch(b"second", b"third"))
        assert await ledger.in_flight() == batch(b"first")

    async def test_keeps_logs_apart_from_traces(self, ledger: Ledger, reopen: Reopen) -> None:
        both = Batch((b"trace-1", b"trace-2"), 2, FULL_PLAN, (b"\x00log-1", b"log-2"))
        await ledger.prepare(both)
        assert await (await reopen()).in_flight() == both

    async def test_keeps_logs_alone(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.prepare(Batch((), 0, Plan(), (b"log",)))
        reopened = await reopen()
        assert await reopened.in_flight() == Batch((), 0, Plan(), (b"log",))
        await reopened.commit(Batch((), 0, Plan(), (b"log",)))
        assert await reopened.in_flight() is None


class TestCommit:
    async def test_makes_the_plan_true_and_clears_the_batch(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.discover([followed("run-1")], now=0)
        sent = batch(b"x", b"y", plan=FULL_PLAN)
        await ledger.prepare(sent)
        await ledger.commit(sent)

        after = await reopen()

        assert await after.in_flight() is None
        assert await after.run("run-1") == FULL_PLAN.runs[0]
        assert await after.totals() == {(name, attributes): total for name, attributes, total in FULL_PLAN.totals}
        assert await after.dead_letter_count() == 1
        assert await after.steps_watermark() == NOW + 0.25
        assert await after.loose_steps() == {"step-7"}
        assert await after.failures() == list(FULL_PLAN.failures)

    async def test_makes_room_for_the_next_batch(self, ledger: Ledger) -> None:
        for payload in (b"first", b"second"):
            await ledger.prepare(batch(payload))
            assert await ledger.in_flight() == batch(payload)
            await ledger.commit(batch(payload))

    async def test_needs_no_prepare_where_nothing_is_sent(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(plan=counted(1)))
        assert await (await reopen()).totals() == {(STEPS, SUCCESS): Total(sum=1)}

    async def test_keeps_the_letters_of_the_plan_and_of_the_answer(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(plan=Plan(dead_letters=(UNREADABLE,))), [LETTER, LETTER])
        assert await (await reopen()).dead_letter_count() == 3

    async def test_stores_runs_it_did_not_know(self, ledger: Ledger) -> None:
        run = followed("run-9", cursor="step-1")
        await ledger.commit(batch(plan=Plan(runs=(run,))))
        assert await ledger.run("run-9") == run

    async def test_leaves_what_the_plan_does_not_name(self, ledger: Ledger) -> None:
        await ledger.commit(batch(plan=FULL_PLAN))
        await ledger.commit(batch())
        assert await ledger.steps_watermark() == NOW + 0.25
        assert await ledger.loose_steps() == {"step-7"}

    async def test_forgets_loose_steps_from_before_a_time(self, ledger: Ledger) -> None:
        await ledger.commit(batch(plan=Plan(loose_steps={"old": NOW - 1, "young": NOW})))
        await ledger.commit(batch(plan=Plan(loose_steps={"new": NOW + 1, "young": NOW + 1}, loose_steps_since=NOW)))
        assert await ledger.loose_steps() == {"young", "new"}


class TestTotals:
    async def test_add_up(self, ledger: Ledger, reopen: Reopen) -> None:
        observed = Plan(totals=((DURATION, SUCCESS, Total(sum=0.5, count=1, buckets=(1, 0))),) * 2)
        await ledger.commit(batch(plan=observed))
        await ledger.commit(batch(plan=Plan(totals=((DURATION, SUCCESS, Total(sum=4, count=1, buckets=(0, 1))),))))
        assert await (await reopen()).totals() == {
            (DURATION, SUCCESS): Total(sum=5.0, count=3, buckets=(2, 1)),
        }

    async def test_stay_exact_beyond_what_a_float_holds(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(plan=counted(2**53)))
        await ledger.commit(batch(plan=counted(1)))
        total = (await (await reopen()).totals())[STEPS, SUCCESS].sum
        assert (total, type(total)) == (2**53 + 1, int)

    async def test_of_floats_stay_floats(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(plan=counted(1.5)))
        await ledger.commit(batch(plan=counted(0.5)))
        total = (await (await reopen()).totals())[STEPS, SUCCESS].sum
        assert (total, type(total)) == (2.0, float)

    async def test_exist_at_zero_before_the_first_event(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(plan=counted(0)))
        assert await (await reopen()).totals() == {(STEPS, SUCCESS): Total()}

    async def test_a_histogram_at_zero_takes_its_first_observation(self, ledger: Ledger) -> None:
        first = Total(sum=1.0, count=1, buckets=(0, 1))
        await ledger.commit(batch(plan=Plan(totals=((DURATION, (), Total()), (DURATION, (), first)))))
        assert await ledger.totals() == {(DURATION, ()): first}

    async def test_keep_series_apart_by_instrument_and_attributes(self, ledger: Ledger) -> None:
        keys: list[SeriesKey] = [
            ("a", ()),
            ("b", ()),
            ("a", (("x", "1"),)),
            ("a", (("x", 1),)),
            ("a", (("x", "1"), ("y", "é\n\"'"))),
        ]
        await ledger.commit(batch(plan=Plan(totals=tuple((*key, Total(sum=n)) for n, key in enumerate(keys)))))
        assert await ledger.totals() == {key: Total(sum=n) for n, key in enumerate(keys)}

    @pytest.mark.parametrize("value", [True, 1, 1.0, "1", ("1", "2"), ()])
    async def test_give_attributes_back_as_they_were(self, ledger: Ledger, reopen: Reopen, value: object) -> None:
        await ledger.commit(batch(plan=Plan.model_construct(totals=((STEPS, (("k", value),), Total()),))))
        ((_, ((_, back),)),) = await (await reopen()).totals()
        assert (back, type(back)) == (value, type(value))

    async def test_refuse_other_bounds_and_change_nothing(self, ledger: Ledger) -> None:
        before = {(DURATION, ()): Total(sum=1.0, count=1, buckets=(0, 1))}
        await ledger.commit(batch(plan=Plan(totals=((DURATION, (), before[DURATION, ()]),))))
        other = Plan(runs=(followed("run-1"),), totals=((DURATION, (), Total(sum=1.0, count=1, buckets=(0, 0, 1))),))
        with pytest.raises(LedgerError):
            await ledger.commit(batch(plan=other))
        assert await ledger.totals() == before
        assert await ledger.run("run-1") is None


async def test_commit_keeps_all_of_a_run(ledger: Ledger, reopen: Reopen) -> None:
    run = FULL_PLAN.runs[0].model_copy(update={"next_visit": NOW + 1 / 3, "agent_id": "agent-é", "seen": 'a"b'})
    await ledger.commit(visited(run))
    assert await (await reopen()).run("run-1") == run


async def test_a_closed_ledger_says_so_and_closes_again(ledger: Ledger) -> None:
    await ledger.close()
    with pytest.raises(LedgerError):
        await ledger.watermark()
    await ledger.close()
