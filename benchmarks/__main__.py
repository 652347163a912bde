"""python -m benchmarks: what the bridge costs, as ratios within one run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from benchmarks.compare import CONTESTANTS, Comparison, compare, instructions
from benchmarks.figures import FULL, QUICK, Figure, measure
from benchmarks.profiling import profile
from benchmarks.record import record
from benchmarks.stage import Workload

_PAIRS = (("naive", "ours"), ("official", "ours"), ("ours", "floor"), ("naive", "floor"))


def main() -> None:
    """Run what is asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a few minutes; what is done where nothing is said")
    size.add_argument("--full", action="store_true", help="everything, for an hour or more")
    parser.add_argument("--record", action="store_true", help="write the table and a line of history to docs")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    cpu = commands.add_parser("cpu", help="CPU per 1,000 steps of one workload, side by side")
    _workload(cpu)
    cpu.add_argument("--rounds", type=int, default=3)
    cpu.add_argument("--only", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS)
    counted = commands.add_parser("instructions", help="the same in instructions, by valgrind: minutes, but steady")
    _workload(counted)
    counted.add_argument("--only", nargs="+", default=list(CONTESTANTS), choices=CONTESTANTS)
    profiled = commands.add_parser("profile", help="where one contestant's CPU goes, by cProfile")
    _workload(profiled)
    profiled.add_argument("--of", default="ours", choices=CONTESTANTS)
    profiled.add_argument("--sort", default="tottime")
    profiled.add_argument("--lines", type=int, default=40)
    given = parser.parse_args()
    if given.command is None:
        _measure_all("full" if given.full else "quick", keep=given.record)
        return
    workload = Workload("asked for", given.runs, given.steps, durations=given.durations)
    if given.command == "cpu":
        _print_cpu(compare(workload, rounds=given.rounds, contestants=given.only))
    elif given.command == "instructions":
        _print_instructions(instructions(workload, given.only))
    else:
        profile(workload, given.of, sort=given.sort, lines=given.lines)


def _measure_all(size: str, *, keep: bool) -> None:
    figures: list[Figure] = []

    def done(figure: Figure) -> None:
        figures.append(figure)
        print(figure.row(), flush=True)

    measure({"quick": QUICK, "full": FULL}[size], done)
    if keep:
        record(figures, size=size)


def _workload(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--durations", action="store_true", help="each step's measured lengths, one request a step")


def _print_cpu(comparison: Comparison) -> None:
    results, workload = comparison.results, comparison.workload
    print(f"{workload.runs} runs x {workload.steps} steps, durations {'on' if workload.durations else 'off'}")
    for name in results:
        spread = sorted(round(cpu, 3) for cpu in comparison.rounds(name))
        line = f"  {name:9} {comparison.cpu(name):.3f} CPU s/1,000 steps {spread}"
        print(f"{line}  requests {comparison.requests(name):.0f}/1,000 steps")
    for one, other in _PAIRS:
        if one in results and other in results:
            print(f"  {one}/{other}: {comparison.ratio(one, other):.2f}")


def _print_instructions(counted: Mapping[str, float]) -> None:
    for name, millions in counted.items():
        print(f"  {name:9} {millions:.0f} million instructions/1,000 steps")
    for one, other in _PAIRS:
        if one in counted and other in counted:
            print(f"  {one}/{other}: {counted[one] / counted[other]:.2f}")


if __name__ == "__main__":
    main()
