"""Who may open a ledger, and the locks that say so.

A lock is the kernel's (flock) on an empty file beside the ledger: it goes with the process, however that dies. It is
not on the database itself, so that a person can look into that one with any SQLite tool meanwhile. The lock's file
stays where it is, or two processes could lock two files.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Final

from bridge.errors import LedgerInUse

PRIVATE: Final = 0o600


class Role(Enum):
    """What a process wants with a ledger."""

    SERVICE = "service"  # the one that follows Letta: creates the file, and brings an older one up to date
    BACKFILL = "backfill"  # one at a time, beside a service or alone; creates and migrates only where there is none
    BESIDE = "beside"  # a person's command, any number at any time: neither creates nor migrates
    ALONE = "alone"  # the same for a command that changes what is followed: nobody else may be at work

    @property
    def makes(self) -> bool:
        """Whether it may create the file or bring it up to date."""
        return self in (Role.SERVICE, Role.BACKFILL)


_SUFFIX: Final = {Role.SERVICE: "-lock", Role.BACKFILL: "-backfill-lock"}
_NEEDS: Final = {
    Role.SERVICE: (Role.SERVICE,),
    Role.BACKFILL: (Role.BACKFILL,),
    Role.BESIDE: (),
    Role.ALONE: (Role.SERVICE, Role.BACKFILL),
}
_TAKEN: Final = {
    Role.SERVICE: "another bridge is using it: stop that one, or give this one a ledger of its own",
    Role.BACKFILL: "another backfill is running on it: wait until it is done, or stop it",
}


def locks(ledger: Path, role: Role) -> Iterator[Lock]:
    """Take what a role needs, one lock after the other; raises as `Lock`."""
    other = "is using it: stop that one first"
    taken = (
        {Role.SERVICE: f"a bridge {other}", Role.BACKFILL: f"a backfill {other}"} if role is Role.ALONE else _TAKEN
    )
    return (Lock(ledger, needed, taken=taken[needed]) for needed in _NEEDS[role])


class Lock:
    """A lock that is held until `release`."""

    def __init__(self, ledger: Path, role: Role, *, taken: str) -> None:
        """Take the lock of a role, which only one process can hold.

        Args:
            ledger: the ledger's path.
            role: SERVICE or BACKFILL.
            taken: what to say where another process has it.

        Raises:
            LedgerInUse: another process has it.
            OSError: the lock's file cannot be made or opened.
        """
        self.path = Path(f"{ledger}{_SUFFIX[role]}")
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise LedgerInUse(f"ledger {ledger}: {taken}") from error
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Let go of it; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
