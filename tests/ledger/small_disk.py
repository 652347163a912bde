"""A ledger on a disk that has no more room: `small_disk.py FOLDER SCENARIO`; fails with a traceback.

All but `size_limit` mount a disk of one MiB on the folder, and so need a mount namespace of their own (`unshare`).
"""

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from ledger_samples import NOW, STEPS, SUCCESS, batch, counted

from bridge.errors import LedgerError
from bridge.ledger.backup import back_up
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Ledger, Total
from bridge.ledger.lock import Role
from bridge.ledger.open import open_ledger

_BLOCK = 4096


async def full(folder: Path) -> None:
    """Wherever the room ends: within a batch put aside, or within a commit."""
    for left in range(8, 48, 4):
        ledger = await used(folder / f"{left}.ledger")
        fill(folder, leaving=left * _BLOCK)
        committed, said = await commits_until_refused(ledger)
        assert "the disk is full: free some space" in said, said
        (folder / "ballast").unlink()
        await goes_on(ledger, 1 + committed)  # without a restart
        for file in folder.iterdir():
            file.unlink()


async def full_at_start(folder: Path) -> None:
    """No room for what lies beside the file, nor for a new one."""
    for left in (0, 1, 4, 7):
        old, new = folder / f"old-{left}.ledger", folder / f"new-{left}.ledger"
        await (await used(old)).close()
        fill(folder, leaving=left * _BLOCK)
        for path in (old, new):
            said = await refusal(path)
            assert "the disk is full: free some space" in said, said
        (folder / "ballast").unlink()
        await goes_on(await opened(old), 1)
        await (await used(new)).close()


async def read_only(folder: Path) -> None:
    """Made so between two starts."""
    await (await used(folder / "bridge.ledger")).close()
    remount(folder, "ro")
    said = await refusal(folder / "bridge.ledger")
    assert "its disk is mounted read-only" in said, said
    remount(folder, "rw")
    await goes_on(await opened(folder / "bridge.ledger"), 1)


async def full_for_a_backup(folder: Path) -> None:
    """The ledger has room, its copy has not."""
    path = folder.with_name("elsewhere.ledger")
    ledger = await used(path)
    await ledger.prepare(batch(bytes(100_000), plan=counted(1)))
    fill(folder, leaving=8 * _BLOCK)
    with contextlib.closing(LedgerFile(path, role=Role.BESIDE)) as file:
        said = backup_refusal(file, folder / "copy")
        assert f"its backup {folder}/copy: the disk is full" in said, said
        assert [left.name for left in folder.iterdir()] == ["ballast"]
        (folder / "ballast").unlink()
        back_up(file, folder / "copy")
    await goes_on(ledger, 1)
    await goes_on(await opened(folder / "copy"), 1)


async def size_limit(folder: Path) -> None:
    """What a quota or `ulimit -f` does."""
    ledger = await used(folder / "bridge.ledger")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    committed, said = await commits_until_refused(ledger)
    assert "the disk fails to read or write it: check the disk, its quota" in said, said
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await goes_on(ledger, 1 + committed)


async def opened(path: Path) -> Ledger:
    return await open_ledger(str(path), source="letta", destination="otlp", now=NOW)


async def used(path: Path) -> Ledger:
    ledger = await opened(path)
    await ledger.commit(batch(plan=counted(1)))
    return ledger


async def refusal(path: Path) -> str:
    try:
        await opened(path)
    except LedgerError as error:
        return one_line(error, path)
    raise AssertionError("it was opened")


def backup_refusal(file: LedgerFile, target: Path) -> str:
    try:
        back_up(file, target)
    except LedgerError as error:
        return one_line(error, file.path)
    raise AssertionError("it had room")


async def commits_until_refused(ledger: Ledger) -> tuple[int, str]:
    """How many batches could be put aside and committed, and why not one more."""
    for committed in range(1000):
        try:
            sent = await ledger.in_flight() or batch(bytes(10_000), plan=counted(1))
            if await ledger.in_flight() is None:
                await ledger.prepare(sent)
            await ledger.commit(sent)
        except LedgerError as error:
            return committed, one_line(error, Path())
    raise AssertionError("the room did not end")


async def goes_on(ledger: Ledger, count: int) -> None:
    """It holds what was committed, and what is in flight counts once."""
    assert await ledger.totals() == {(STEPS, SUCCESS): Total(sum=count)}
    aside = await ledger.in_flight()
    await ledger.commit(aside or batch(plan=counted(1)))
    assert await ledger.totals() == {(STEPS, SUCCESS): Total(sum=count + 1)}
    assert await ledger.in_flight() is None
    await ledger.close()


def one_line(error: LedgerError, path: Path) -> str:
    said = str(error)
    assert "\n" not in said
    assert path.name in said
    return said


def fill(folder: Path, *, leaving: int) -> None:
    """Take all room but so many bytes."""
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(_BLOCK))
        except OSError:
            os.ftruncate(ballast.fileno(), max(0, ballast.tell() - leaving))


def remount(folder: Path, mode: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{mode}", folder], check=True)


SCENARIOS = {
    scenario.__name__: scenario for scenario in (full, full_at_start, full_for_a_backup, read_only, size_limit)
}

if __name__ == "__main__":
    place, name = Path(sys.argv[1]), sys.argv[2]
    if name != "size_limit":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
    asyncio.run(SCENARIOS[name](place))
