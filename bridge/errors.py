"""Every exception the bridge raises, and what the loop does about each.

BridgeError                      one line that says what is wrong, where, and what to do
├── SettingsError                the user's settings; exit code 2, nothing was started
├── LedgerError                  the ledger file; exit code 3, nothing was lost
│   └── LedgerInUse              another process has it
└── LettaError                   Letta's API
    ├── LettaUnavailable         may pass by itself: the sweep ends, the next one tries again
    ├── LettaRefused             a key or a permission: tried again, and said loudly
    ├── LettaNotFound            one record is gone: that record is closed, the sweep goes on
    └── LettaMisbehaved          an answer that cannot be right: the part it touches waits
        ├── CursorIgnored        a page that does not follow its cursor
        ├── CursorUnknown        a run's step that Letta no longer knows, while it knows the run
        └── AnswerTooLong        a body over the limit: the same is asked for in shorter pages

What a backend answers is not an exception but a value: see `bridge.export.answers`.
"""

from __future__ import annotations

from typing import Final

_BUSY: Final = 429


class BridgeError(Exception):
    """One line for a person: what is wrong, where, and what to do.

    Attributes:
        exit_code: what the process exits with when nothing handles the error.
    """

    exit_code = 1


class SettingsError(BridgeError):
    """A setting that cannot be used; raised before anything is started."""

    exit_code = 2


class LedgerError(BridgeError):
    """The ledger cannot be opened, read or written; what it holds is left as it is."""

    exit_code = 3


class LedgerInUse(LedgerError):
    """Another process holds the lock that is needed."""


class LettaError(BridgeError):
    """Anything wrong with an exchange with Letta's API."""


class LettaUnavailable(LettaError):
    """No answer, a time-out, 408, 429 or 5xx: it may pass by itself.

    Attributes:
        retry_after: seconds that the server asked to wait, or None when it did not say.
        status: the HTTP status, or None when there was no answer at all.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status

    @property
    def is_for_all(self) -> bool:
        """Whether the server speaks of every request, not of this record alone: it is busy, or says until when."""
        return self.status == _BUSY or self.retry_after is not None


class LettaRefused(LettaError):
    """401 or 403: the key is missing, wrong, or not allowed to read this."""


class LettaNotFound(LettaError):
    """404 for one record: it was deleted, or is not visible yet."""


class LettaMisbehaved(LettaError):
    """An answer that is not what the API promises: another status, no JSON, a record of the wrong shape."""


class CursorIgnored(LettaMisbehaved):
    """A page that does not continue where its cursor stands, in either dialect of cursors."""


class CursorUnknown(LettaMisbehaved):
    """404 for the step that a run was read up to, although the run is there: the step was deleted."""


class AnswerTooLong(LettaMisbehaved):
    """A body longer than the bridge takes into memory."""
