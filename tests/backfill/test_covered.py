"""Ranges of time that are done: whatever the order they come in, they hold what was added and nothing else."""

import sqlite3
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bridge.follow.state import FollowedRun, Phase
from bridge.ledger import covered, migrations
from bridge.ledger import runs as known_runs
from bridge.ledger.covered import Range

AGENTS = [None, "agent-1", "agent-2"]
RANGES = st.builds(Range, st.integers(0, 30), st.integers(0, 30), st.sampled_from(AGENTS))


def ledger() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.migrate(connection, migrations.scripts(), version=len(migrations.scripts()))
    return connection


@given(st.lists(RANGES, max_size=12))
def test_what_is_added_is_held_and_nothing_else(added: list[Range]) -> None:
    connection = ledger()
    for each in added:
        covered.add(connection, 1, each)
        covered.add(connection, 2, Range(0, 100))
    kept = covered.ranges(connection, 1)
    connection.close()
    for agent in (*AGENTS, "agent-3"):
        for moment in range(-1, 32):
            expected = any(each.holds(moment, agent) for each in added)
            assert any(each.holds(moment, agent) for each in kept) == expected
    for agent in AGENTS:
        own = sorted((each.from_ns, each.until_ns) for each in kept if each.agent_id == agent)
        assert all(end < start for (_, end), (start, _) in pairwise(own)), "joined where they touch"


def test_tombstones_in_a_range_are_forgotten_and_no_other_run() -> None:
    connection = ledger()
    for number, (phase, agent, created) in enumerate(
        [("closed", "agent-1", 5), ("closed", "agent-2", 5), ("closed", None, 5), ("closed", "agent-1", 10),
         ("open", "agent-1", 5), ("dormant", "agent-1", 5), ("closed", "agent-2", 15), ("closed", "agent-2", 20)]
    ):  # fmt: skip
        run = FollowedRun(
            id=f"run-{number}", agent_id=agent, phase=Phase(phase), created_ns=created, first_seen=0, last_news=0
        )
        known_runs.store(connection, 1, [run])
    covered.add(connection, 1, Range(0, 10, "agent-1"))
    covered.add(connection, 1, Range(15, 20))
    covered.forget(connection, 2)
    assert connection.execute("SELECT count(*) FROM run").fetchone() == (8,)
    covered.forget(connection, 1)
    left = [id_ for (id_,) in connection.execute("SELECT id FROM run ORDER BY id")]
    connection.close()
    assert left == ["run-1", "run-2", "run-3", "run-4", "run-5", "run-7"]
