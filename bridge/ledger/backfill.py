"""The ledger of backfills: a stream of its own beside that of the service, in the same file.

Its runs, its batch in flight and its cursors are its own, so that neither knows the other's. Dead letters go to the
service's stream, where a person looks for them; totals go there too, or nowhere. Whether a batch counts is fixed
when it is put aside: what a crash interrupts is committed as it was begun, whatever the next command says. Failures
are not kept: what is over for days must wake nobody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from sqlite3 import Connection
from typing import Final

from bridge.follow.state import FollowedRun
from bridge.ledger import covered, letters, series
from bridge.ledger import runs as known_runs
from bridge.ledger.backup import back_up
from bridge.ledger.covered import Range
from bridge.ledger.ledger import SERIES_AT_MOST, Batch, DeadLetter, Plan
from bridge.ledger.lock import Role
from bridge.ledger.open import open_file
from bridge.ledger.sqlite import SqliteLedger

_SUFFIX: Final = "#backfill"
_LETTERS: Final = "letters"


@dataclass(frozen=True, slots=True)
class BackfillLedger(SqliteLedger):
    """The stream of all backfills of one live stream."""

    _live: int
    _with_metrics: bool
    _kept: Counter[str] = field(default_factory=Counter)

    @property
    def live(self) -> SqliteLedger:
        """The service's stream; closed together with this one."""
        return SqliteLedger(self._file, self._live, _max_series=self._max_series)

    @property
    def letters_kept(self) -> int:
        """How many dead letters this process has added."""
        return self._kept[_LETTERS]

    async def ranges(self) -> Sequence[Range]:
        """What earlier backfills have entered, and this one so far."""
        with self._file.reading() as connection:
            return covered.ranges(connection, self._stream)

    async def enter(self, runs: Sequence[FollowedRun], unreadable: Sequence[DeadLetter], reached: Range) -> int:
        """In one transaction: enter the runs that are not known, keep what could not be read, grow the range.

        From here on those runs are this ledger's to finish, and tombstones in a range are forgotten. Returns how
        many runs were new.
        """
        with self._file.writing() as connection:
            new = [run for run in runs if known_runs.find(connection, self._stream, run.id) is None]
            known_runs.store(connection, self._stream, new)
            self._keep(connection, unreadable)
            covered.add(connection, self._stream, reached)
            covered.forget(connection, self._stream)
            return len(new)

    async def prepare(self, batch: Batch) -> None:
        """See the protocol."""
        await SqliteLedger.prepare(self, replace(batch, plan=self._counted(batch.plan)))

    async def commit(self, batch: Batch, dead_letters: Sequence[DeadLetter] = ()) -> None:
        """See the protocol."""
        aside = await self.in_flight()
        plan = aside.plan if aside else self._counted(batch.plan)
        whole = plan.model_copy(update={"dead_letters": (*plan.dead_letters, *dead_letters)})
        await SqliteLedger.commit(self, replace(batch, plan=whole))

    def _counted(self, plan: Plan) -> Plan:
        unwanted = {"failures": ()} if self._with_metrics else {"failures": (), "totals": ()}
        return plan.model_copy(update=unwanted)

    def _make_true(self, connection: Connection, plan: Plan) -> None:
        known_runs.store(connection, self._stream, plan.runs)
        series.add(connection, self._live, plan, most=self._max_series)
        self._keep(connection, plan.dead_letters)
        covered.forget(connection, self._stream)

    def _keep(self, connection: Connection, kept: Sequence[DeadLetter]) -> None:
        before = letters.count(connection, self._live)
        letters.keep(connection, self._live, kept)
        self._kept[_LETTERS] += letters.count(connection, self._live) - before


async def open_backfill_ledger(
    location: str,
    *,
    source: str,
    destination: str,
    now: float,
    with_metrics: bool,
    max_series: int = SERIES_AT_MOST,
) -> BackfillLedger:
    """The ledger of the backfills of one stream, beside a service or alone.

    Args:
        location: as for `open_ledger`.
        source: names the Letta server (and project).
        destination: names where its telemetry goes.
        now: seconds since the epoch; a live stream that is not known yet counts from here.
        with_metrics: whether batches put aside from now on add to the totals of the live stream.
        max_series: sets of attributes that an instrument may have.

    Raises:
        SettingsError, LedgerError: as `open_ledger`; also where another backfill is running.
    """
    file = open_file(location, Role.BACKFILL)
    try:
        live = SqliteLedger.of(file, source=source, destination=destination, now=now)
        own = SqliteLedger.of(file, source=source, destination=f"{destination}{_SUFFIX}", now=now)
    except BaseException:
        file.close()
        raise
    return BackfillLedger(
        file,
        own._stream,  # noqa: SLF001 - its own kind
        live._stream,  # noqa: SLF001 - the same
        with_metrics,
        _max_series=max_series,
    )


def copied(ledger: Path, folder: Path) -> Path:
    """A copy in a folder, to try something on; where there is no ledger there is nothing to copy.

    Raises:
        LedgerError: it cannot be read, or is of another version.
    """
    copy = folder / "copy.ledger"
    if ledger.expanduser().exists():
        with closing(open_file(str(ledger), Role.BESIDE)) as file:
            back_up(file, copy)
    return copy
