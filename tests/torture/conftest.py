"""The options of the torture tests, and the table of what they did."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from torture import torture_table
from torture.torture_dose import COUNTS, FULL, NAME

_FAULTS = pytest.StashKey[dict[str, tuple[str, str]]]()
_WORKED = "torture"  # under which a worker of pytest-xdist hands over what it did


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("torture")
    group.addoption("--point", help="one crash point alone, as a failed test prints it: PLAY:N, or PLAY:N:M")
    group.addoption("--seed", type=int, help="of the kills -9; a random one in the full dose, else always the same")
    group.addoption("--torture-table", type=Path, help="the page whose table is to be written")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FAULTS] = {}


def pytest_collection_finish(session: pytest.Session) -> None:
    marked = ((item, item.get_closest_marker("fault")) for item in session.items)
    session.config.stash[_FAULTS] |= {item.nodeid: (mark.args[0], mark.args[1]) for item, mark in marked if mark}


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_WORKED] = [dict(COUNTS), session.config.stash[_FAULTS]]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker has ended: what it did is added up here."""
    counts, faults = getattr(node, "workeroutput", {}).get(_WORKED, ({}, {}))  # nothing where it crashed
    COUNTS.update(counts)
    node.config.stash[_FAULTS] |= {nodeid: tuple(fault) for nodeid, fault in faults.items()}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    table = torture_table.rows(COUNTS, _faults(terminalreporter, config), failed=_failed(terminalreporter))
    if not table:
        return
    terminalreporter.section(f"torture, {NAME}")
    for line in torture_table.as_text(table):
        terminalreporter.write_line(line)
    if page := config.getoption("--torture-table", None):
        torture_table.write(page, table)


def _faults(reporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[tuple[str, str]]:
    """Of the tests that passed."""
    known = config.stash[_FAULTS]
    passed = (report.nodeid for report in reporter.stats.get("passed", ()))
    return (known[nodeid] for nodeid in passed if nodeid in known)


def _failed(reporter: pytest.TerminalReporter) -> int:
    return len(reporter.stats.get("failed", ())) + len(reporter.stats.get("error", ()))


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What the random moments are drawn from."""
    given: int | None = request.config.getoption("--seed", None)
    if given is not None:
        return given
    return secrets.randbelow(1_000_000) if FULL else 1


@pytest.fixture
def only_point(request: pytest.FixtureRequest) -> tuple[str, Sequence[int]] | None:
    """The point that was asked for."""
    given = request.config.getoption("--point", None)
    if given is None:
        return None
    play, *kills = given.split(":")
    return play, [int(kill) for kill in kills]
