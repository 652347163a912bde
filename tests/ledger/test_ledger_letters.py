"""What every ledger promises of its dead letters."""

import time

from ledger_samples import LETTER, STEPS, SUCCESS, UNREADABLE, Opener, Reopen, batch, counted

from bridge.ledger.ledger import Ledger, Plan, Total


class TestDeadLetters:
    async def test_are_given_in_pages_oldest_first(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(plan=Plan(dead_letters=(UNREADABLE,))), [LETTER, LETTER])
        reopened = await reopen()
        first, second, third = await reopened.dead_letters()
        assert [kept.letter for kept in (first, second, third)] == [UNREADABLE, LETTER, LETTER]
        assert first.id < second.id < third.id
        assert await reopened.dead_letters(after=first.id, limit=1) == [second]
        assert await reopened.dead_letters(after=third.id) == []

    async def test_one_is_found_by_its_number(self, ledger: Ledger) -> None:
        before = int(time.time())
        await ledger.commit(batch(), [LETTER])
        (kept,) = await ledger.dead_letters()
        assert await ledger.dead_letter(kept.id) == kept
        assert before <= kept.kept_at <= time.time()
        assert await ledger.dead_letter(kept.id + 1) is None

    async def test_of_another_stream_are_not_ours(self, opener: Opener) -> None:
        other = await opener(destination="other")
        await other.commit(batch(), [LETTER])
        (theirs,) = await other.dead_letters()
        ours = await opener()
        assert await ours.dead_letters() == []
        assert await ours.dead_letter(theirs.id) is None
        assert not await ours.settle_dead_letter(theirs.id)
        assert await (await opener(destination="other")).dead_letters() == [theirs]

    async def test_settling_makes_the_plan_true_and_removes_the_letter(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(plan=counted(1)), [LETTER, UNREADABLE])
        await ledger.prepare(batch(b"in flight"))
        settled, other = await ledger.dead_letters()
        assert await ledger.settle_dead_letter(settled.id, plan=counted(2))
        reopened = await reopen()
        assert await reopened.dead_letters() == [other]
        assert await reopened.totals() == {(STEPS, SUCCESS): Total(sum=3)}
        assert await reopened.in_flight() == batch(b"in flight")

    async def test_settling_puts_the_rest_in_its_place(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(), [LETTER])
        (settled,) = await ledger.dead_letters()
        rest = [LETTER.model_copy(update={"source": source}) for source in ("step-1", "step-2")]
        assert await ledger.settle_dead_letter(settled.id, rest=rest)
        kept = await (await reopen()).dead_letters()
        assert [one.letter for one in kept] == rest
        assert {one.kept_at for one in kept} == {settled.kept_at}
        assert settled.id not in [one.id for one in kept]

    async def test_settling_one_that_is_gone_does_nothing(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(), [LETTER])
        (kept,) = await ledger.dead_letters()
        assert await ledger.settle_dead_letter(kept.id, plan=counted(1))
        assert not await ledger.settle_dead_letter(kept.id, plan=counted(1), rest=[LETTER])
        reopened = await reopen()
        assert await reopened.totals() == {(STEPS, SUCCESS): Total(sum=1)}
        assert await reopened.dead_letter_count() == 0

    async def test_a_number_never_comes_back(self, ledger: Ledger, reopen: Reopen) -> None:
        await ledger.commit(batch(), [LETTER])
        (first,) = await ledger.dead_letters()
        await ledger.settle_dead_letter(first.id)
        reopened = await reopen()
        await reopened.commit(batch(), [LETTER])
        assert await reopened.dead_letter(first.id) is None
