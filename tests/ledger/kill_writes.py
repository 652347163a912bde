"""Kills a process at each statement of a write in turn, each on a ledger of its own: `kill_writes.py FOLDER WRITE`.

The folder then holds `000.ledger`, where the write was not begun, and one a kill; in the last it ran to its end.
"""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from ledger_samples import FULL_PLAN, LETTER, NOW, TELLING, UNREADABLE, batch, closed, followed

from bridge.ledger import migrations
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Batch
from bridge.ledger.sqlite import SqliteLedger

UNTIL = int(NOW * 1e9) + 60_000_000_000
SENT = Batch((b"first", b"second"), 2, FULL_PLAN, (b"log",))


async def prepare(ledger: SqliteLedger) -> None:
    await ledger.prepare(Batch((b"third",), 1, FULL_PLAN, (b"log", b"log-2")))


async def commit(ledger: SqliteLedger) -> None:
    await ledger.commit(SENT, [LETTER])


async def discover(ledger: SqliteLedger) -> None:
    listed = [followed("new"), followed("watched", status="cancelled")]
    await ledger.discover(listed, now=NOW, watermark_ns=9, forget_before_ns=9)


async def wake(ledger: SqliteLedger) -> None:
    await ledger.wake(["run-1", "asleep"], now=NOW)


async def settle(ledger: SqliteLedger) -> None:
    (letter,) = await ledger.dead_letters()
    await ledger.settle_dead_letter(letter.id, plan=FULL_PLAN, rest=[LETTER, LETTER])


async def tell(ledger: SqliteLedger) -> None:
    await ledger.put_exports_aside(TELLING, until_ns=UNTIL)


async def take(ledger: SqliteLedger) -> None:
    (first, _) = await ledger.exports_aside()
    await ledger.settle_export(first.id, taken=True)


async def refuse(ledger: SqliteLedger) -> None:
    (first, _) = await ledger.exports_aside()
    await ledger.settle_export(first.id, taken=False)


WRITES: dict[str, Callable[[SqliteLedger], Coroutine[None, None, None]]] = {
    write.__name__: write for write in (prepare, commit, discover, wake, settle, tell, take, refuse)
}


async def fill(ledger: SqliteLedger, *, in_flight: bool, told: bool) -> None:
    """Something for each write to change."""
    runs = [followed("run-1"), followed("asleep", phase="dormant"), closed("old"), closed("old-2"), closed("watched")]
    await ledger.discover(runs, now=NOW)
    await ledger.commit(batch(), [UNREADABLE])
    if in_flight:
        await ledger.prepare(SENT)
    if told:
        await ledger.put_exports_aside(TELLING, until_ns=UNTIL)


def killing(last_statement: int) -> Callable[[str], None]:
    """What kills this process when it begins its statement of that number."""
    left = last_statement

    def count(_statement: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return count


def write(path: Path, name: str, last_statement: int) -> None:
    """One write, killed; of the migration all statements of opening the file."""
    if name == "migrate":
        connect = sqlite3.connect

        def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*args, **kwargs)
            connection.set_trace_callback(killing(last_statement))
            return connection

        sqlite3.connect = traced  # type: ignore[assignment]  # it has many signatures
        LedgerFile(path).close()
        return
    file = LedgerFile(path)
    ledger = SqliteLedger.of(file, source="letta", destination="otlp", now=NOW)
    file.connection.set_trace_callback(killing(last_statement))
    asyncio.run(WRITES[name](ledger))


def made(path: Path, name: str) -> None:
    """The ledger before the write."""
    if name == "migrate":
        file = LedgerFile(path, scripts=migrations.scripts()[:1])
        with file.writing() as connection:
            connection.execute("INSERT INTO dead_letter VALUES (7, 1, 'then', 'span', 's', 'r', x'00')")
            connection.execute("INSERT INTO run VALUES (1, 'r', 'a', 'open', NULL, NULL, 1, 2, 3, 0, '{}')")
        file.close()
        return
    ledger = SqliteLedger.of(LedgerFile(path), source="letta", destination="otlp", now=NOW)
    asyncio.run(fill(ledger, in_flight=name == "commit", told=name in ("take", "refuse")))
    asyncio.run(ledger.close())


def killed(path: Path, name: str, last_statement: int) -> bool:
    """Write in a process of its own; whether it was killed."""
    child = os.fork()
    if child == 0:
        write(path, name, last_statement)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status):
        sys.exit("the write failed by itself")
    return os.WIFSIGNALED(status)


def main(folder: Path, name: str) -> None:
    made(folder / "000.ledger", name)
    statement, going = 0, True
    while going:
        statement += 1
        path = folder / f"{statement:03}.ledger"
        made(path, name)
        going = killed(path, name, statement)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
