"""A metric has at most so many sets of attributes: what comes past them is counted together, and nothing is lost."""

from pathlib import Path

import pytest
from ledger_samples import NOW, STEPS, batch

from bridge.ledger.backfill import open_backfill_ledger
from bridge.ledger.ledger import OVERFLOW, Ledger, Plan, SeriesKey, Total
from bridge.ledger.open import open_ledger

TOOLS = "letta.tool.calls"
MOST = 3


def calls(*names: str, instrument: str = TOOLS) -> Plan:
    return Plan(totals=tuple((*of(name, instrument), Total(sum=1, count=1)) for name in names))


def of(name: str, instrument: str = TOOLS) -> SeriesKey:
    return instrument, (("gen_ai.tool.name", name),)


REST: SeriesKey = (TOOLS, OVERFLOW)


async def opened(path: Path, most: int = MOST) -> Ledger:
    return await open_ledger(str(path), source="letta", destination="otlp", now=NOW, max_series=most)


async def counted(ledger: Ledger) -> dict[SeriesKey, float]:
    return {key: total.sum for key, total in (await ledger.totals()).items()}


@pytest.mark.parametrize("restart", [False, True])
async def test_what_comes_past_the_bound_is_counted_together(path: Path, *, restart: bool) -> None:
    ledger = await opened(path)
    for plan in (calls("a", "b"), calls("c", "d", "e"), calls("d", "a", "f", "a")):
        await ledger.commit(batch(plan=plan))
        if restart:
            await ledger.close()
            ledger = await opened(path)
    assert await counted(ledger) == {of("a"): 3, of("b"): 1, of("c"): 1, REST: 4}
    await ledger.close()


async def test_other_metrics_have_their_own_bound(path: Path) -> None:
    ledger = await opened(path)
    await ledger.commit(batch(plan=calls("a", "b", "c", "d")))
    await ledger.commit(batch(plan=calls("d", instrument=STEPS)))
    assert (await counted(ledger))[of("d", STEPS)] == 1
    await ledger.close()


async def test_histograms_keep_their_buckets(path: Path) -> None:
    ledger = await opened(path)
    observed = Total(sum=0.5, count=1, buckets=(0, 1))
    await ledger.commit(batch(plan=Plan(totals=tuple((*of(name), observed) for name in "abcde"))))
    assert (await ledger.totals())[REST] == Total(sum=1.0, count=2, buckets=(0, 2))
    await ledger.close()


async def test_a_bound_that_was_lowered_leaves_what_is_there(path: Path) -> None:
    ledger = await opened(path, most=5)
    await ledger.commit(batch(plan=calls("a", "b", "c", "d")))
    await ledger.close()
    ledger = await opened(path, most=2)
    await ledger.commit(batch(plan=calls("d", "e")))
    assert await counted(ledger) == {of("a"): 1, of("b"): 1, of("c"): 1, of("d"): 2, REST: 1}
    await ledger.close()


async def test_one_that_was_raised_gives_room_to_new_ones(path: Path) -> None:
    ledger = await opened(path, most=1)
    await ledger.commit(batch(plan=calls("a", "b")))
    await ledger.close()
    ledger = await opened(path, most=2)
    await ledger.commit(batch(plan=calls("b", "c")))
    assert await counted(ledger) == {of("a"): 1, of("b"): 1, REST: 2}
    await ledger.close()


async def test_a_backfill_shares_the_bound_of_the_service(path: Path) -> None:
    ledger = await opened(path)
    await ledger.commit(batch(plan=calls("a", "b", "c")))
    await ledger.close()
    backfill = await open_backfill_ledger(
        str(path), source="letta", destination="otlp", now=NOW, with_metrics=True, max_series=MOST
    )
    await backfill.commit(batch(plan=calls("a", "d")))
    assert await counted(backfill.live) == {of("a"): 2, of("b"): 1, of("c"): 1, REST: 1}
    await backfill.close()
