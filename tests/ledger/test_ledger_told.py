"""What every ledger promises of exports of differences: what was told, what is on its way."""

import pytest
from ledger_samples import COUNTED, MEASURED, NOW, TELLING, Opener, Reopen

from bridge.errors import LedgerError
from bridge.ledger.ledger import Export, Ledger, Told, Total

START = int(NOW * 1e9)
MINUTE = 60_000_000_000
ODD = ("odd", ())


async def test_what_is_put_aside_comes_back_byte_for_byte(ledger: Ledger, reopen: Reopen) -> None:
    await ledger.put_exports_aside(TELLING, until_ns=START + MINUTE)
    reopened = await reopen()
    first, second = await reopened.exports_aside()
    assert (first.payload, second.payload) == (b"\x00first", b"second")
    assert (await reopened.told()).series == {}


async def test_what_was_taken_is_told(ledger: Ledger, reopen: Reopen) -> None:
    await ledger.put_exports_aside(TELLING, until_ns=START + MINUTE)
    first, second = await ledger.exports_aside()
    await ledger.settle_export(first.id, taken=True)
    reopened = await reopen()
    assert await reopened.exports_aside() == [second]
    told = await reopened.told()
    assert told == Told(START + MINUTE, {key: (total, START + MINUTE) for key, total in TELLING[0].told.items()})
    assert repr(told.series[COUNTED][0]) == repr(TELLING[0].told[COUNTED]), "whole numbers stay whole"
    assert repr(told.series[MEASURED][0]) == repr(TELLING[0].told[MEASURED])


async def test_what_was_refused_is_told_by_the_next_from_where_it_began(ledger: Ledger, reopen: Reopen) -> None:
    await ledger.put_exports_aside(TELLING, until_ns=START + MINUTE)
    for export, taken in zip(await ledger.exports_aside(), (True, False), strict=True):
        await ledger.settle_export(export.id, taken=taken)
    told = await (await reopen()).told()
    assert told.until_ns == START + MINUTE
    assert told.series[ODD] == (Total(), START)
    assert told.series[COUNTED] == (TELLING[0].told[COUNTED], START + MINUTE)

    await ledger_after_a_refusal(await reopen())


async def ledger_after_a_refusal(ledger: Ledger) -> None:
    """A series that was told of before stays as it was."""
    more = {COUNTED: Total(sum=2**53 + 9, count=9)}
    await ledger.put_exports_aside([Export(b"third", more)], until_ns=START + 2 * MINUTE)
    (third,) = await ledger.exports_aside()
    await ledger.settle_export(third.id, taken=False)
    told = await ledger.told()
    assert told.series[COUNTED] == (TELLING[0].told[COUNTED], START + MINUTE)
    assert told.until_ns == START + 2 * MINUTE


async def test_the_next_is_told_on_top(ledger: Ledger) -> None:
    for minute, total in ((1, 5), (2, 8)):
        await ledger.put_exports_aside([Export(b"x", {COUNTED: Total(sum=total)})], until_ns=START + minute * MINUTE)
        for export in await ledger.exports_aside():
            await ledger.settle_export(export.id, taken=True)
    assert (await ledger.told()).series == {COUNTED: (Total(sum=8), START + 2 * MINUTE)}


async def test_one_moment_at_a_time(ledger: Ledger) -> None:
    await ledger.put_exports_aside(TELLING, until_ns=START + MINUTE)
    with pytest.raises(LedgerError, match="on its way already"):
        await ledger.put_exports_aside([Export(b"x", {})], until_ns=START + 2 * MINUTE)
    assert len(await ledger.exports_aside()) == 2
    assert (await ledger.told()).until_ns == START + MINUTE


async def test_nothing_to_tell_moves_the_time_on(ledger: Ledger) -> None:
    await ledger.put_exports_aside([], until_ns=START + MINUTE)
    assert await ledger.told() == Told(START + MINUTE, {})


async def test_streams_tell_for_themselves(opener: Opener) -> None:
    ours = await opener()
    await ours.put_exports_aside(TELLING, until_ns=START + MINUTE)
    other = await opener(destination="other")
    await other.put_exports_aside([Export(b"theirs", {})], until_ns=START + 5)
    (theirs,) = await other.exports_aside()
    assert theirs.payload == b"theirs"
    await other.settle_export(theirs.id, taken=True)
    assert len(await (await opener()).exports_aside()) == 2
