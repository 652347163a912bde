"""Keeps what was measured in docs/benchmarks.md: the last table whole, and a line of history for each run."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"
_HEAD = ("| figure | measured | reach | met |", "|---|---|---|---|")


def table(figures: Sequence[Figure]) -> str:
    """All figures as a Markdown table."""
    return "\n".join([*_HEAD, *(figure.row() for figure in figures)])


def record(figures: Sequence[Figure], *, size: str, page: Path = PAGE) -> None:
    """Replace the table of the page, and add a line to the history at its end."""
    text = page.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    python = platform.python_version()
    told = f"Measured on {when}, commit {_commit()}, `--{size}`, {platform.machine()}, Python {python}."
    ratios = "; ".join(f"{figure.name} {figure.value}" for figure in _kept(figures))
    line = f"| {when} | {_commit()} | {size} | {ratios} |\n"
    page.write_text(f"{before}{_BEGIN}\n\n{told}\n\n{table(figures)}\n\n{_END}{after.rstrip()}\n{line}")


def _kept(figures: Sequence[Figure]) -> Iterator[Figure]:
    """What the history keeps: the figures that something is to be reached by."""
    return (figure for figure in figures if figure.met is not None)


def _commit() -> str:
    """The commit measured, with a plus where the tree had changes."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PAGE.parent).stdout.strip()
