"""The walk down the run list, over servers that speak either dialect of cursors, and over faults."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from bridge.errors import CursorIgnored, LettaMisbehaved
from bridge.source.models import Run
from bridge.source.pager import Dialect, RunPager, may_continue

START = datetime(2026, 1, 1, tzinfo=UTC)


def runs(count: int, *, same_instant: bool = False) -> list[Run]:
    """Newest first."""
    return [
        Run(id=f"run-{n:03}", created_at=START if same_instant else START + timedelta(seconds=n))
        for n in reversed(range(count))
    ]


class Server:
    """A run list that walks on by `dialect`; the other parameter gives what is newer than the cursor."""

    def __init__(self, rows: list[Run], dialect: Dialect) -> None:
        self.rows = rows
        self.dialect = dialect
        self.requests = 0

    async def fetch(self, query: dict[str, str | int]) -> Sequence[Run]:
        self.requests += 1
        rows, limit = self.rows, int(query["limit"])
        for parameter in Dialect:
            position = next((n for n, run in enumerate(rows) if run.id == query.get(parameter)), None)
            if parameter in query and position is not None:
                rows = rows[position + 1 :] if parameter is self.dialect else rows[: position + 1]
        return rows[:limit]


async def walk(pager: RunPager, limit: int) -> list[str]:
    found: list[str] = []
    cursor: Run | None = None
    while page := await pager.page(cursor, limit):
        found += [run.id for run in page]
        cursor = page[-1]
    return found


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize("same_instant", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3, 10])
async def test_every_run_is_walked_once(dialect: Dialect, count: int, *, same_instant: bool) -> None:
    rows = runs(count, same_instant=same_instant)
    server = Server(rows, dialect)
    pager = RunPager(server.fetch)
    assert await walk(pager, 3) == [run.id for run in rows]


async def test_the_dialect_is_learned_from_the_first_page_that_proves_it() -> None:
    server = Server(runs(9), Dialect.DOCUMENTED)
    pager = RunPager(server.fetch)
    await walk(pager, 3)
    assert pager.dialect is Dialect.DOCUMENTED
    assert server.requests == 1 + 2 + 1 + 1, "one request is wasted on the wrong dialect, once"


async def test_a_deleted_cursor_is_noticed_because_the_first_page_comes_again() -> None:
    server = Server(runs(9), Dialect.SWAPPED)
    pager = RunPager(server.fetch)
    page = await pager.page(None, 3)
    await pager.page(page[-1], 3)
    gone = page[-1]
    server.rows = [run for run in server.rows if run.id != gone.id]
    with pytest.raises(CursorIgnored, match=gone.id):
        await pager.page(gone, 3)


async def test_a_list_out_of_order_is_refused() -> None:
    server = Server(list(reversed(runs(3))), Dialect.SWAPPED)
    with pytest.raises(LettaMisbehaved, match="no order"):
        await RunPager(server.fetch).page(None, 3)


@pytest.mark.parametrize(("count", "goes_on"), [(1000, True), (999, False), (100, True), (0, False)])
def test_a_short_page_is_the_last_unless_its_size_is_a_servers_cap(count: int, *, goes_on: bool) -> None:
    assert may_continue(count, 1000) is goes_on
