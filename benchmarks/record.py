"""Keeps what was measured in docs/benchmarks.md: the last tables whole, and a row of history for each run."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.figures import Figure, Kept, Line, Performance

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HISTORY_HEAD = f"| date | commit | size | {' | '.join(Kept)} |"
_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"


def tables(lines: Sequence[Line]) -> str:
    """All that was measured as Markdown tables: the figures, then what each contestant took."""
    figures = [line for line in lines if isinstance(line, Figure)]
    performances = [line for line in lines if isinstance(line, Performance)]
    both = ((Figure.HEAD, figures), (Performance.HEAD, performances))
    return "\n\n".join("\n".join([*head, *(line.row() for line in found)]) for head, found in both if found)


def record(lines: Sequence[Line], *, size: str, seconds: float, page: Path = PAGE) -> None:
    """Replace the tables of the page, and add a row to the history at its end; `size` is in words."""
    text = page.read_text()
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    when, commit = f"{datetime.now(UTC):%Y-%m-%d}", _commit()
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    told = f"Measured on {when}, commit {commit}, {size}, in {seconds / 60:.0f} minutes, on {machine}."
    row = f"| {when} | {commit} | {size} | {' | '.join(kept(lines))} |"
    page.write_text(f"{before}{_BEGIN}\n\n{told}\n\n{tables(lines)}\n\n{_END}{after.rstrip()}\n{row}\n")


def kept(lines: Sequence[Line]) -> Sequence[str]:
    """A cell for each column of the history; a dash where nothing was measured."""
    found = {line.kept: line.short for line in lines if isinstance(line, Figure)}
    return [found.get(column, "-") for column in Kept]


def _commit() -> str:
    """The commit measured, with a plus where the tree had changes; a tree without git is no reason to lose it all."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=PAGE.parent).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
