"""`bridge state show | forget | verify | backup`: look into the ledger, and the few things to do to it by hand.

`forget` needs that no bridge is using the ledger; the others work beside a running one.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bridge.commands.command import Subparsers, declare, described

if TYPE_CHECKING:
    from bridge.ledger.file import LedgerFile
    from bridge.ledger.lock import Role
    from bridge.settings import Settings

_UNSOUND: Final = 3
_RESTORING: Final = (
    " To put a copy back: stop the bridge, move the ledger away with its -wal and -shm, put the copy in its place."
    " What was delivered since the copy was made is then delivered again, and the totals go back to what they were."
)


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    about = "look into the ledger, check it, copy it, or make it forget"
    parser = commands.add_parser("state", help=about, description=described(about))
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    declare(actions, "show", _show, "show what is followed, in flight, counted and kept, and up to where")
    forgetting = declare(
        actions, "forget", _forget, "follow some runs no further, or remove a whole stream (stop the bridge first)"
    )
    forgetting.add_argument("runs", nargs="*", metavar="RUN_ID", help="a run of which nothing more is to be sent")
    forgetting.add_argument(
        "--stream",
        type=int,
        metavar="N",
        help="remove all of a stream: what it follows, its totals, its dead letters",
    )
    forgetting.add_argument("--yes", action="store_true", help="needed with --stream, for it cannot be undone")
    declare(actions, "verify", _verify, "read all of the ledger and say what is wrong with it")
    backing_up = declare(actions, "backup", _backup, "write a copy of the ledger, while the bridge runs or not")
    backing_up.description = f"{backing_up.description}{_RESTORING}"
    backing_up.add_argument(
        "file", type=Path, metavar="FILE", help="the copy to write; there must be no such file yet"
    )


async def _show(_: argparse.Namespace, settings: Settings) -> int:
    from bridge.clock import SystemClock
    from bridge.commands.state_text import described
    from bridge.ledger.lock import Role
    from bridge.ledger.survey import survey

    with _opened(settings, Role.BESIDE) as file:
        version, streams = survey(file, now=SystemClock().now())
        for line in described(file.path, file.size_bytes(), version, streams):
            _say(line)
    return 0


async def _forget(given: argparse.Namespace, settings: Settings) -> int:
    from bridge.errors import SettingsError
    from bridge.ledger.lock import Role

    if bool(given.runs) == (given.stream is not None):
        raise SettingsError("name the runs to forget by their ids, or a stream with --stream N")
    if given.stream is not None and not given.yes:
        raise SettingsError(f"stream {given.stream} would be removed with its totals and dead letters: say --yes")
    with _opened(settings, Role.ALONE) as file:
        if given.stream is None:
            _forget_runs(file, given.runs)
        else:
            _remove_stream(file, given.stream)
    return 0


def _forget_runs(file: LedgerFile, ids: list[str]) -> None:
    from bridge.errors import SettingsError
    from bridge.ledger.removal import forget_runs
    from bridge.plain import one_line

    streams = forget_runs(file, ids)
    unknown = [one_line(id_) for id_, count in streams.items() if not count]
    if unknown:
        raise SettingsError(f"nothing was changed: no stream of the ledger knows {', '.join(unknown)}")
    for id_ in streams:
        _say(f"{one_line(id_)}: followed no further")


def _remove_stream(file: LedgerFile, number: int) -> None:
    from bridge.errors import SettingsError
    from bridge.ledger.removal import remove_stream

    if not remove_stream(file, number):
        raise SettingsError(f"there is no stream {number}: `bridge state show` lists those there are")
    _say(f"stream {number}: removed")


async def _verify(_: argparse.Namespace, settings: Settings) -> int:
    from bridge.ledger.lock import Role
    from bridge.ledger.verify import problems
    from bridge.plain import one_line

    found = 0
    with _opened(settings, Role.BESIDE) as file:
        for problem in problems(file):
            found += 1
            _say(one_line(problem))
        said = f"{found} problem{'s' if found > 1 else ''}" if found else "sound"
        _say(f"{file.path}: {said}")
    return _UNSOUND if found else 0


async def _backup(given: argparse.Namespace, settings: Settings) -> int:
    from bridge.errors import SettingsError
    from bridge.ledger.backup import back_up
    from bridge.ledger.lock import Role

    target = given.file.expanduser().absolute()
    if target.exists():
        raise SettingsError(f"{target} is there already: name a new file")
    with _opened(settings, Role.BESIDE) as file:
        size = back_up(file, target)
    _say(f"{target}: {size} bytes; see `bridge state backup --help` for how to put it back")
    return 0


def _opened(settings: Settings, role: Role) -> contextlib.closing[LedgerFile]:
    from bridge.ledger.open import open_file

    return contextlib.closing(open_file(str(settings.ledger.location), role))


def _say(line: str) -> None:
    """Print a line; what is not in the output's encoding is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    print(line.encode(encoding, "backslashreplace").decode(encoding))
