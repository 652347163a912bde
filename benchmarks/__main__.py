"""python -m benchmarks: what the bridge costs, as ratios within one run."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Mapping

from benchmarks.compare import CONTESTANTS, FLOORS, Comparison, compare, instructions
from benchmarks.figures import Line
from benchmarks.parts import measure, parts
from benchmarks.profiling import profile
from benchmarks.record import record, tables
from benchmarks.sizes import FULL, QUICK
from benchmarks.stage import Workload

_PAIRS = (("naive", "ours"), ("official", "ours"), ("ours", "floor"), ("naive", "floor"), ("ours", "floor_httpx"))
_ANY = tuple(dict.fromkeys(CONTESTANTS + FLOORS))


def main() -> None:
    """Run what is asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="some minutes; what is done where nothing is said")
    size.add_argument("--full", action="store_true", help="everything, for fifty minutes")
    parser.add_argument("--record", action="store_true", help="write the tables and a row of history to docs")
    parser.add_argument("--part", metavar="WORD", help="the parts alone whose name has this word")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    cpu = commands.add_parser("cpu", help="CPU per 1,000 steps of one workload, side by side")
    _workload(cpu)
    cpu.add_argument("--rounds", type=int, default=3)
    cpu.add_argument("--only", nargs="+", default=list(CONTESTANTS), choices=_ANY)
    counted = commands.add_parser("instructions", help="the same in instructions, by valgrind: minutes, but steady")
    _workload(counted)
    counted.add_argument("--only", nargs="+", default=list(CONTESTANTS), choices=_ANY)
    profiled = commands.add_parser("profile", help="where one contestant's CPU goes, by cProfile")
    _workload(profiled)
    profiled.add_argument("--of", default="ours", choices=_ANY)
    profiled.add_argument("--sort", default="tottime")
    profiled.add_argument("--lines", type=int, default=40)
    given = parser.parse_args()
    if given.command is None:
        sys.exit(_measure_all("full" if given.full else "quick", only=given.part or "", keep=given.record))
    workload = Workload("asked for", given.runs, given.steps, durations=given.durations)
    if given.command == "cpu":
        _print_cpu(compare(workload, rounds=given.rounds, contestants=given.only))
    elif given.command == "instructions":
        _print_instructions(instructions(workload, given.only))
    else:
        profile(workload, given.of, sort=given.sort, lines=given.lines)


def _measure_all(size: str, *, only: str, keep: bool) -> int:
    """The exit code; what was measured is shown, and kept, even if it is interrupted."""
    lines: list[Line] = []
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def done(line: Line) -> None:
        lines.append(line)
        minutes, seconds = divmod(round(time.monotonic() - began), 60)
        print(f"{minutes:3}:{seconds:02}  {line.line()}", flush=True)

    wanted = [part for part in parts({"quick": QUICK, "full": FULL}[size]) if only in part.name]
    said, whole = size, False
    try:
        whole = measure(wanted, done)
    except KeyboardInterrupt:
        said = f"{size}, interrupted"
    print(f"\n{tables(lines)}")
    if keep:
        record(lines, size=said, seconds=time.monotonic() - began)
    return 0 if whole else 1


def _workload(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--durations", action="store_true", help="each step's measured lengths, one request a step")


def _print_cpu(comparison: Comparison) -> None:
    results, workload = comparison.results, comparison.workload
    print(f"{workload.runs} runs x {workload.steps} steps, durations {'on' if workload.durations else 'off'}")
    for name in results:
        spread = sorted(round(cpu, 3) for cpu in comparison.rounds(name))
        line = f"  {name:11} {comparison.cpu(name):.3f} CPU s/1,000 steps {spread}"
        print(f"{line}  requests {comparison.requests(name):.0f}/1,000 steps")
    for one, other in _PAIRS:
        if one in results and other in results:
            print(f"  {one}/{other}: {comparison.ratio(one, other):.2f}")


def _print_instructions(counted: Mapping[str, float]) -> None:
    for name, millions in counted.items():
        print(f"  {name:11} {millions:.0f} million instructions/1,000 steps")
    for one, other in _PAIRS:
        if one in counted and other in counted:
            print(f"  {one}/{other}: {counted[one] / counted[other]:.2f}")


if __name__ == "__main__":
    main()
