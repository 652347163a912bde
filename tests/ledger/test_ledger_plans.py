"""With a hundred thousand tombstones, no question may be answered by looking at each."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from bridge.ledger import migrations, runs


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        migrations.migrate(connection, migrations.scripts(), version=1)
        yield connection


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (runs._DUE, "run_followed (stream=? AND phase=?)"),
        (runs._ACTIVE, "run_followed (stream=?)"),
        (runs._OPEN, "run_followed (stream=? AND phase=?)"),
        (runs._CHANGED, "run_look (stream=? AND woken=?)"),
        (runs._WATCHED, "run_look (stream=? AND woken=? AND next_visit<?)"),
        (runs.AWAITING_APPROVAL, "run_asking (stream=?)"),
        (runs._FORGETTABLE, "run_kept (stream=? AND keep_until<?)"),
    ],
)
def test_each_question_has_its_index(connection: sqlite3.Connection, query: str, index: str) -> None:
    parameters = range(max(query.count(f"?{n}") and n for n in range(1, 4)) or query.count("?"))
    steps = [step for _, _, _, step in connection.execute(f"EXPLAIN QUERY PLAN {query}", [*parameters])]
    assert steps[0].endswith(f"INDEX {index}")
    assert not [step for step in steps if step.startswith("SCAN")]


def test_the_next_runs_to_visit_are_found_without_sorting_the_open_ones(connection: sqlite3.Connection) -> None:
    (step,) = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {runs._DUE}", [0, 0.0, 64])]
    assert "SORT" not in step.upper()
    assert "B-TREE" not in step
    (step,) = [step for *_, step in connection.execute(f"EXPLAIN QUERY PLAN {runs._ACTIVE}", [0])]
    assert "COVERING" in step
