"""Kills a process at each statement of a commit in turn, each on a ledger of its own.

Prints a line a ledger, the path of its file; the last one's commit ran to its end. Run as `kill_commits.py FOLDER`.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from ledger_samples import FULL_PLAN, LETTER, NOW, batch, followed

from bridge.ledger.file import LedgerFile
from bridge.ledger.sqlite import SqliteLedger


def commit(path: Path, last_statement: int) -> None:
    """Prepare and commit a batch, killed when the commit begins the statement of that number."""
    file = LedgerFile(path)
    ledger = SqliteLedger.of(file, source="letta", destination="otlp", now=NOW)
    sent = batch(b"first", b"second", plan=FULL_PLAN)
    asyncio.run(ledger.discover([followed("run-1")], now=0))
    asyncio.run(ledger.prepare(sent))
    left = last_statement

    def count(_statement: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    file.connection.set_trace_callback(count)
    asyncio.run(ledger.commit(sent, [LETTER]))


def killed(path: Path, last_statement: int) -> bool:
    """Run `commit` in a process of its own; whether it was killed."""
    child = os.fork()
    if child == 0:
        commit(path, last_statement)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status) and os.waitstatus_to_exitcode(status):
        sys.exit("the commit failed by itself")
    return os.WIFSIGNALED(status)


def main(folder: Path) -> None:
    statement, going = 0, True
    while going:
        statement += 1
        path = folder / f"{statement:03}.ledger"
        going = killed(path, statement)
        print(path, flush=True)  # noqa: T201 - this is what it is run for


if __name__ == "__main__":
    main(Path(sys.argv[1]))
