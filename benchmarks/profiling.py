"""Where a contestant's CPU goes, by cProfile: it slows Python down more than C, so it is a map and no measure."""

from __future__ import annotations

import pstats
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator

from benchmarks.stage import Workload, staged

_PARTS = (
    ("bridge/{}", re.compile(r"/bridge/(\w+)/|/bridge/(\w+)\.py")),
    (
        "HTTP client",
        re.compile(r"/(httpx|httpcore|h11|anyio|sniffio|httptools|requests|urllib3|certifi|ssl)\b|/http/"),
    ),
    ("{}", re.compile(r"/site-packages/(\w+)")),
    ("asyncio", re.compile(r"/asyncio/|/selectors\.py")),
    ("imports", re.compile(r"importlib|<frozen|/pkgutil")),
)

Function = tuple[str, int, str]


def profile(workload: Workload, contestant: str, *, sort: str, lines: int) -> None:
    """Print the parts, then the functions."""
    with tempfile.NamedTemporaryFile(suffix=".prof") as file, staged(workload) as stage:
        stage.play(contestant, workload, "--profile", file.name)
        stats = pstats.Stats(file.name)
    parts = by_part(stats)
    whole = sum(parts.values())
    print(f"{whole / workload.total * 1000:.3f} s per 1,000 steps under the profiler, of which")
    for part, seconds in parts.most_common():
        if seconds > whole / 200:
            print(f"  {seconds / workload.total * 1000:.3f}  {seconds / whole:4.0%}  {part}")
    stats.sort_stats(sort).print_stats(lines)


def by_part(stats: pstats.Stats) -> Counter[str]:
    """Seconds by package; what is written in C counts where it is called from."""
    parts: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in stats.stats.items():  # type: ignore[attr-defined]
        if function[0] == "~" and callers:
            for caller, share in callers.items():
                parts[_part(caller)] += share[2]
        else:
            parts[_part(function)] += own
    return parts


def _part(function: Function) -> str:
    for name, pattern in _PARTS:
        if found := pattern.search(function[0]):
            return name.format(next(_said(found.groups()), ""))
    return "standard library"


def _said(groups: Iterable[str | None]) -> Iterator[str]:
    return (group for group in groups if group)
