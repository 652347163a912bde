"""The table of what was tried: printed after the tests, and kept in docs/torture.md by the full dose."""

from __future__ import annotations

import platform
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

Rows = Sequence[tuple[str, str]]

_BEGIN: Final = "<!-- the table: written by `just torture` -->"
_SIDES: Final = {
    "letta": "Letta",
    "backend": "the backend",
    "ledger": "the ledger's file and disk",
    "clock": "a clock",
}
_END: Final = "<!-- the end of the table -->"


def rows(counts: Mapping[str, int], faults: Iterable[tuple[str, str]], *, failed: int) -> Rows:
    """What was done, and what came of it; of what was not run nothing is said.

    Args:
        counts: `torture_dose.COUNTS`.
        faults: side and kind of each that a test passed.
        failed: tests that did not pass.
    """
    table = [
        *_counted(counts, "crash points", "kills at a numbered point (await, statement, COMMIT, request)"),
        *_counted(counts, "second kills", "of them in the recovery from another"),
        *_counted(counts, "kill -9", "kills -9 of the real process under load"),
        *_counted(counts, "SIGTERM", "stops of the real process under load"),
        *_counted(counts, "property examples", "examples of the property test"),
        *_counted(counts, "kills of the property test", "kills in them"),
        *_counted(counts, "resent spans", "spans and log events that came again after a kill"),
    ]
    if table:
        table += [
            ("… of them not byte for byte the same", f"{counts['not the same']:,}"),
            ("steps, runs and tool calls lost", f"{counts['lost']:,}"),
            ("counters that were off, by one or more", f"{counts['off']:,}"),
        ]
    table += _seeded(counts)
    if counts["soak steps"]:
        first, second = counts["soak peak, first half"], counts["soak peak, second half"]
        table.append((f"memory over {counts['soak steps']:,} steps in one process", _peaks(first, second)))
    table += _kinds(faults)
    return [*table, ("tests that failed", f"{failed:,}")] if table else []


def as_text(table: Rows) -> Iterable[str]:
    """Aligned, for a terminal."""
    width = max(len(what) for what, _ in table)
    return (f"{what:<{width}}  {found}" for what, found in table)


def write(page: Path, table: Rows) -> None:
    """Put the table, with today's date and the commit, in its place in the page."""
    lines = [_BEGIN, "", _when(), "", "| what was tried | found |", "|---|---|"]
    lines += [f"| {what} | {found} |" for what, found in table]
    text = page.read_text(encoding="utf-8")
    between = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    page.write_text(between.sub(lambda _: "\n".join([*lines, "", _END]), text), encoding="utf-8")


def _counted(counts: Mapping[str, int], key: str, words: str) -> Rows:
    return [(words, f"{counts[key]:,}")] if counts[key] else []


def _seeded(counts: Mapping[str, int]) -> Rows:
    return [
        (f"deliberate bugs seen by the {test}", f"{counts[f'seen by the {test}']} of {tried}")
        for test in ("crash points", "property test")
        if (tried := counts[f"tried on the {test}"])
    ]


def _peaks(first: int, second: int) -> str:
    return f"peak {first / 1e6:.2f} MB in the first half, {second / 1e6:.2f} MB in the second"


def _kinds(faults: Iterable[tuple[str, str]]) -> Rows:
    by_side: dict[str, set[str]] = defaultdict(set)
    for side, kind in faults:
        by_side[side].add(kind)
    return [
        (f"kinds of faults of {_SIDES.get(side, side)}", f"{len(kinds)}") for side, kinds in sorted(by_side.items())
    ]


def _when() -> str:
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    changed = ", with changes" if _git("status", "--porcelain", "bridge", "tests") else ""
    today = datetime.now(UTC).date().isoformat()
    return f"{today}, commit {commit}{changed}, Python {platform.python_version()} on {platform.system()}:"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip()
