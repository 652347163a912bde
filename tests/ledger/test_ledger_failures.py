"""What every ledger promises of the latest failures."""

from pathlib import Path

from ledger_samples import FAILURE, NOW, Opener, Reopen, batch

from bridge.ledger.backfill import open_backfill_ledger
from bridge.ledger.failures import KEPT
from bridge.ledger.ledger import Ledger, Plan
from bridge.map.failures import Failure


def failures(first: int, last: int) -> tuple[Failure, ...]:
    """One a second, in the order in which they were seen."""
    return tuple(FAILURE.model_copy(update={"seen_at": NOW + n, "step_id": f"step-{n}"}) for n in range(first, last))


def seen(*kept: Failure) -> Plan:
    return Plan(failures=kept)


async def test_the_newest_comes_first(ledger: Ledger, reopen: Reopen) -> None:
    first, second, third = failures(1, 4)
    await ledger.commit(batch(plan=seen(first, second)))
    await ledger.commit(batch(plan=seen(third)))
    assert await (await reopen()).failures() == [third, second, first]


async def test_only_the_newest_are_kept(ledger: Ledger) -> None:
    await ledger.commit(batch(plan=seen(*failures(0, KEPT - 1))))
    await ledger.commit(batch(plan=seen(*failures(KEPT - 1, KEPT))))
    assert len(await ledger.failures()) == KEPT
    await ledger.commit(batch(plan=seen(*failures(KEPT, KEPT + 2))))
    assert await ledger.failures() == list(reversed(failures(2, KEPT + 2)))


async def test_more_than_are_kept_at_once(ledger: Ledger) -> None:
    await ledger.commit(batch(plan=seen(*failures(0, 2 * KEPT))))
    assert await ledger.failures() == list(reversed(failures(KEPT, 2 * KEPT)))


async def test_another_streams_failures_push_out_none_of_ours(opener: Opener) -> None:
    ours = await opener()
    await ours.commit(batch(plan=seen(*failures(0, 1))))
    other = await opener(destination="other")
    await other.commit(batch(plan=seen(*failures(1, KEPT + 9))))
    assert len(await other.failures()) == KEPT
    assert await (await opener()).failures() == list(failures(0, 1))


async def test_a_crash_between_prepare_and_commit_neither_loses_nor_doubles_one(opener: Opener) -> None:
    ledger = await opener()
    sent = batch(b"x", plan=seen(*failures(0, 2)))
    await ledger.prepare(sent)
    again = await opener()
    assert await again.failures() == []
    aside = await again.in_flight()
    assert aside == sent
    await again.commit(aside)
    assert await (await opener()).failures() == list(reversed(failures(0, 2)))


async def test_those_of_a_backfill_wake_nobody(path: Path) -> None:
    ledger = await open_backfill_ledger(str(path), source="letta", destination="otlp", now=NOW, with_metrics=True)
    await ledger.prepare(batch(b"x", plan=seen(FAILURE)))
    await ledger.commit(batch(b"x", plan=seen(FAILURE)))
    assert await ledger.failures() == await ledger.live.failures() == []
    await ledger.close()
