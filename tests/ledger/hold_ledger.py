"""Holds a ledger in a role of its own process: `hold_ledger.py PATH ROLE [COMMITS | kill]`.

Says `held` when it has it. With COMMITS it commits so many times, one step each, and ends; with `kill` it commits
once and kills itself; else it waits to be ended.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from ledger_samples import NOW, batch, counted

from bridge.ledger.file import LedgerFile
from bridge.ledger.lock import Role
from bridge.ledger.sqlite import SqliteLedger


async def hold(path: Path, role: Role, then: str) -> None:
    ledger = SqliteLedger.of(LedgerFile(path, role=role), source="letta", destination="otlp", now=NOW)
    print("held", flush=True)  # noqa: T201 - this is what it is run for
    if then == "wait":
        signal.pause()
    for _ in range(1 if then == "kill" else int(then)):
        await ledger.commit(batch(plan=counted(1)))
    if then == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    await ledger.close()


if __name__ == "__main__":
    place, role, then = (*sys.argv[1:], "wait")[:3]
    asyncio.run(hold(Path(place), Role(role), then))
