"""A run of all benchmarks: every part has its line, whatever becomes of the others, and what was measured is kept."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.clean import environment
from benchmarks.figures import Figure, Kept, Line, Performance
from benchmarks.parts import Part, measure, parts
from benchmarks.record import HISTORY_HEAD, PAGE, record
from benchmarks.running import percentile
from benchmarks.sizes import FULL, QUICK
from benchmarks.soak import slowed
from benchmarks.stage import ROOT, Failed, Mark, Workload, staged

RATIO = Figure("CPU, naive / ours: x", "5.20", "at least 5", met=True, kept=Kept.NAIVE, short="5.20")
TOOK = Performance("x", "naive", cpu=1.0, against=5.2, speed=600.0, peak_mib=75.0, requests=56.0)
LOAD = Workload("x", runs=1, steps=1)
CONTESTANTS = "| workload | contestant |"


def good() -> Iterator[Line]:
    yield TOOK
    yield RATIO


def hanging() -> Iterator[Line]:
    yield Figure("before", "1")
    raise Failed("naive did not end within 900 s")


def broken() -> Iterator[Line]:
    yield from map(Path.read_text, [Path("/a/path/of/this/machine")])


def test_a_part_that_fails_says_so_and_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[Line] = []
    assert not measure([Part("one", hanging), Part("two", broken), Part("three", good)], lines.append)
    assert [line.row() for line in lines if isinstance(line, Figure)] == [
        "| before | 1 |  |  |",
        "| one | **failed**: naive did not end within 900 s |  |  |",
        "| two | **failed**: FileNotFoundError |  |  |",
        "| CPU, naive / ours: x | 5.20 | at least 5 | yes |",
    ]
    assert "/a/path/of/this/machine" in capsys.readouterr().err
    assert measure([Part("three", good)], lines.append)


def test_a_record_replaces_the_tables_and_adds_a_row_that_fits_the_history(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(PAGE.read_text())
    record([RATIO, TOOK], size="full", seconds=1500.0, page=page)
    once = page.read_text().splitlines()
    record([RATIO], size="full, interrupted", seconds=60.0, page=page)
    twice = page.read_text().splitlines()
    assert once.count(RATIO.row()) == twice.count(RATIO.row()) == 1
    assert sum(line.startswith(CONTESTANTS) for line in once) == 1
    assert sum(line.startswith(CONTESTANTS) for line in twice) == 0
    head, _, *history = twice[twice.index(HISTORY_HEAD) :]
    assert all(row.count("|") == head.count("|") for row in history)
    assert "| full | 5.20 | - |" in history[-2]
    assert "| full, interrupted | 5.20 | - |" in history[-1]


def test_every_column_of_the_history_is_measured_by_some_part() -> None:
    named = {part.name for part in parts(FULL)}
    assert len(named) == len(parts(FULL))
    assert {part.name for part in parts(QUICK)} & named


def test_what_is_slower_at_its_end_is_seen_and_start_up_is_not_counted() -> None:
    def marks(last: float) -> list[Mark]:
        starting = [Mark(0, 1.0, 1), Mark(0, 2.0, 1)]
        moving = [Mark(100 * n, 2.0 + n / 10, 1) for n in range(1, 92)]
        ending = [Mark(9100 + 100 * n, 11.1 + last * n / 10, 1) for n in range(1, 10)]
        return [*starting, *moving, *ending, Mark(10_000, 99.0, 1)]

    assert slowed(marks(1.0)) == pytest.approx(1.0)
    assert slowed(marks(2.0)) == pytest.approx(1.9, rel=0.02)
    with pytest.raises(Failed, match="too soon"):
        slowed([Mark(0, 1.0, 1), Mark(100, 2.0, 1)])


def test_a_contestant_that_cannot_do_its_work_is_named_without_paths(capfd: pytest.CaptureFixture[str]) -> None:
    with staged(LOAD) as stage:
        with pytest.raises(Failed, match=r"^nobody ended with 1$"):
            stage.play("nobody", LOAD)
        with pytest.raises(Failed, match=r"^nobody ended with 1 after 0 spans$"):
            stage.follow("nobody", LOAD, every=0.1)
    assert "No module named" in capfd.readouterr().err


def test_who_stops_it_sees_what_was_measured_until_then() -> None:
    command = [sys.executable, "-m", "benchmarks", "--part", "requests"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        first = process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 1
    assert "of 25 runs: " in first
    assert [line for line in rest.splitlines() if line.startswith("| requests")] == [
        f"| requests to Letta per 1,000 steps of 25 runs | {first.split()[-4]} | under 100 | yes |"
    ]


def test_a_clean_environment_has_no_package_of_development() -> None:
    program = (
        "import bridge.cli, bridge.app, importlib.util as i; print(*map(i.find_spec, ['pytest', 'letta_client']))"
    )
    with environment() as python:
        ran = subprocess.run(
            [python, "-c", program], env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
        )
    assert (ran.stdout, ran.stderr) == ("None None\n", "")


def test_a_percentile_is_the_least_wait_that_so_many_do_not_exceed() -> None:
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([float(n) for n in range(1, 81)], 0.99) == 80.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.0
