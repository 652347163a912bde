"""What a contestant is given, and what it tells of itself: CPU (user and system, all threads), wall time, memory."""

from __future__ import annotations

import argparse
import cProfile
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def arguments() -> argparse.Namespace:
    """The task, as `benchmarks.stage` puts it on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--letta", required=True)
    parser.add_argument("--otlp", required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--durations", action="store_true")
    parser.add_argument("--posts", type=int, default=0, help="floor: requests to the receiver")
    parser.add_argument("--post-bytes", type=int, default=0, help="floor: length of one")
    parser.add_argument("--post-spans", type=int, default=0, help="floor: spans in one")
    parser.add_argument("--start-from", default="beginning", help="quiet: BRIDGE_START_FROM")
    parser.add_argument(
        "--pause", type=float, default=0.0, help="quiet: seconds without a tick before it is measured"
    )
    parser.add_argument("--ticks", type=int, default=40, help="quiet: how many are measured")
    parser.add_argument("--profile", help="file for cProfile's figures; the times then mean nothing")
    return parser.parse_args()


@contextmanager
def measured(task: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure what happens inside, and print it with whatever was put into the dictionary, as one line of JSON."""
    told: dict[str, Any] = {"startup_cpu": time.process_time(), "startup_rss_kb": memory("VmRSS")}
    profile = cProfile.Profile() if task.profile else None
    cpu, wall = time.process_time(), time.perf_counter()
    if profile:
        profile.enable()
    yield told
    if profile:
        profile.disable()
        profile.dump_stats(task.profile)
    told |= {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    told |= {"rss_kb": memory("VmRSS"), "peak_rss_kb": memory("VmHWM")}
    print(json.dumps(told), flush=True)


def memory(name: str) -> int:
    """A figure of this process in kB: VmRSS is what it has now, VmHWM the most it ever had."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)
