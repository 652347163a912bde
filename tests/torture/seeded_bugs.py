"""Deliberate bugs, each put into the bridge by replacing one function: the tests of this folder must see every one.

Each breaks the promise in another place of the flow. `play` is where its crash points show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final
from unittest import mock

from bridge.errors import LedgerError
from bridge.export.deliver import Delivery, deliver
from bridge.follow.reading import Decision, Reading
from bridge.follow.state import FollowedRun
from bridge.follow.trail import Progress
from bridge.ledger import runs, series
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Batch, DeadLetter, Plan
from bridge.ledger.sqlite import SqliteLedger
from bridge.sweep.discovery import Discovery
from bridge.sweep.sender import BackendWaiting, Sender

_ROW_OF: Final = runs.row_of
_DISCOVER: Final = SqliteLedger.discover
_COMMIT: Final = SqliteLedger.commit
_PAGE: Final = Discovery._page
_INIT: Final = Discovery.__init__
_DELIVER_NEXT: Final = Sender._deliver_next


@dataclass(frozen=True)
class Bug:
    """One.

    Attributes:
        play: whose crash points show it.
        target: what is replaced, as `mock.patch` names it.
        wrong: what it is replaced by.
    """

    play: str
    target: str
    wrong: Any

    def seeded(self) -> AbstractContextManager[object]:
        """The bridge with the bug in it."""
        return mock.patch(self.target, self.wrong)


async def _commit_before_send(self: Sender) -> None:
    if not self._looked_back:
        self._take(await self._ledger.in_flight())
        self._looked_back = True
    if self._batch is not None:
        await self._ledger.commit(self._batch)
        while self._unsent:
            await self._deliver_next()
        self._batch = None


async def _nothing_put_aside(self: SqliteLedger, batch: Batch) -> None:
    pass


async def _map_again_instead_of_resending(self: Sender) -> None:
    try:
        await _DELIVER_NEXT(self)
    except BackendWaiting:
        self._batch, self._unsent = None, []
        await self._ledger.commit(Batch((), 0, Plan()))
        raise


async def _totals_in_another_transaction(
    self: SqliteLedger, batch: Batch, dead_letters: Sequence[DeadLetter] = ()
) -> None:
    with self._file.writing() as connection:
        series.add(connection, self._stream, batch.plan, most=self._max_series)
    await _COMMIT(self, replace(batch, plan=batch.plan.model_copy(update={"totals": ()})), dead_letters)


@contextmanager
def _no_transaction(self: LedgerFile) -> Any:
    yield self.connection


def _cursor_past_the_pending(
    followed: FollowedRun, start: str | None, order: Sequence[str], settled: object
) -> Progress:
    return Progress(cursor=order[-1] if order else start, trail=tuple(order), sent=(), drained=True)


def _message_cursor_too_far(decision: Decision, reading: Reading) -> str | None:
    return reading.messages[-1].id if reading.messages else decision.run.message_cursor


def _no_overlap(self: Discovery, *args: Any, overlap: float) -> None:
    _INIT(self, *args, overlap=0.0)


async def _a_short_page_is_the_last(self: Discovery, cursor: Any, floor: int, *first: int) -> Any:
    page, onward = await _PAGE(self, cursor, floor, *first)
    return page, onward if len(page) >= 100 else None


async def _watermark_before_the_walk_is_done(self: SqliteLedger, found: Sequence[FollowedRun], **given: Any) -> int:
    newest = max((run.created_ns for run in found), default=None)
    return await _DISCOVER(self, found, **{**given, "watermark_ns": given.get("watermark_ns") or newest})


def _tombstones_forgotten_at_once(connection: Any, stream: int, **_: Any) -> None:
    connection.execute("DELETE FROM run WHERE stream = ? AND phase = 'closed'", (stream,))


def _known_runs_begin_anew(connection: Any, stream: int, found: Sequence[FollowedRun], *, now: float) -> int:
    runs.store(connection, stream, found)
    return len(found)


def _forgets(*names: str) -> Any:
    """The ledger loses these fields of a run."""

    def row_of(stream: int, run: FollowedRun, **given: Any) -> Mapping[str, object]:
        blank = FollowedRun(id="", created_ns=0, first_seen=0.0, last_news=0.0)
        return _ROW_OF(stream, run.model_copy(update={name: getattr(blank, name) for name in names}), **given)

    return row_of


async def _rejected_counts_as_accepted(*args: Any) -> Delivery:
    return replace(await deliver(*args), dead_letters=(), rejected=0)


BUGS: Final = {
    "the commit comes before the send": Bug("everyday", "bridge.sweep.sender.Sender.finish", _commit_before_send),
    "nothing is put aside": Bug("busy", "bridge.ledger.sqlite.SqliteLedger.prepare", _nothing_put_aside),
    "what waits is mapped again": Bug(
        "busy", "bridge.sweep.sender.Sender._deliver_next", _map_again_instead_of_resending
    ),
    "totals in another transaction": Bug(
        "everyday", "bridge.ledger.sqlite.SqliteLedger.commit", _totals_in_another_transaction
    ),
    "no transaction at all": Bug("everyday", "bridge.ledger.file.LedgerFile.writing", _no_transaction),
    "the cursor goes past a pending step": Bug("held", "bridge.follow.decide.advance", _cursor_past_the_pending),
    "the message cursor goes too far": Bug("belated", "bridge.sweep.sweep.message_cursor", _message_cursor_too_far),
    "no overlap": Bug("out_of_order", "bridge.sweep.discovery.Discovery.__init__", _no_overlap),
    "a short page is the last": Bug("backlog", "bridge.sweep.discovery.Discovery._page", _a_short_page_is_the_last),
    "the watermark moves too early": Bug(
        "backlog", "bridge.ledger.sqlite.SqliteLedger.discover", _watermark_before_the_walk_is_done
    ),
    "tombstones are forgotten at once": Bug("everyday", "bridge.ledger.runs.forget", _tombstones_forgotten_at_once),
    "known runs begin anew": Bug("everyday", "bridge.ledger.runs.enter", _known_runs_begin_anew),
    "what is sent past the cursor is forgotten": Bug("held", "bridge.ledger.runs.row_of", _forgets("sent", "trail")),
    "what was told is forgotten": Bug("changes_late", "bridge.ledger.runs.row_of", _forgets("noted")),
    "rejected counts as accepted": Bug("bad_span", "bridge.sweep.sender.deliver", _rejected_counts_as_accepted),
    "nothing is waited for": Bug("belated", "bridge.follow.decide._View._complete", lambda _self, _step: True),
}

BREAKS: Final = (AssertionError, LedgerError)  # a bug may also break the bridge itself
