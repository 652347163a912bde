"""`bridge dead-letters list | show | retry | drop`: what could not be delivered, and what to do about it.

Works beside a running service, on the ledger of the same settings.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from bridge.commands.command import Subparsers, declare, described

if TYPE_CHECKING:
    from bridge.commands.letter_text import Entry
    from bridge.ledger.ledger import KeptLetter, Ledger
    from bridge.settings import Settings
    from bridge.sweep.retry import Result, Retry

_STAYED: Final = 5
_NUMBER: Final = "the number of a letter, as `bridge dead-letters list` shows it"
_AT_ONCE: Final = 20  # letters in memory, of megabytes each in the worst case
_WIDTH: Final = 100  # columns, where the output is no terminal


class Say(Protocol):
    """Prints one line for a person."""

    def __call__(self, line: str, stream: TextIO = ...) -> None:
        """To standard output, unless another stream is given."""
        ...


def add(commands: Subparsers[argparse.ArgumentParser]) -> None:
    """Declare the arguments."""
    about = "what the backend refused for good, and what of Letta's could not be read"
    parser = commands.add_parser("dead-letters", help=about, description=described(about))
    actions = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    listing = declare(actions, "list", _list, "list the letters, one on a line")
    listing.add_argument("--json", action="store_true", help="print a JSON object for each letter, for programs")
    showing = declare(actions, "show", _show, "show one letter, with its whole reason and its content")
    showing.add_argument("number", type=int, metavar="N", help=_NUMBER)
    retrying = declare(actions, "retry", _retry, "send letters again; what is refused again stays")
    retrying.add_argument(
        "--yes", action="store_true", help="do not ask before a letter is sent whole of which the backend has a part"
    )
    dropping = declare(actions, "drop", _drop, "delete letters for good")
    dropping.add_argument("--yes", action="store_true", help="with --all: do not ask")
    for parser in (retrying, dropping):
        parser.add_argument("numbers", type=int, nargs="*", metavar="N", help=_NUMBER)
        parser.add_argument("--all", action="store_true", help="all letters")


async def _list(given: argparse.Namespace, settings: Settings) -> int:
    import shutil

    from bridge.commands.letter_text import table

    say = _speaker(settings)
    async with _ledger(settings) as ledger:
        entries = await _entries(ledger)
    if given.json:
        for entry in entries:
            say(entry.as_json())
    elif entries:
        for line in table(entries, width=shutil.get_terminal_size((_WIDTH, 0)).columns):
            say(line)
    else:
        say("there are no dead letters")
    return 0


async def _show(given: argparse.Namespace, settings: Settings) -> int:
    from bridge.commands.letter_text import full

    say = _speaker(settings)
    async with _ledger(settings) as ledger:
        for line in full(await _letter(ledger, given.number)):
            say(line)
    return 0


async def _retry(given: argparse.Namespace, settings: Settings) -> int:
    say = _speaker(settings)
    async with _ledger(settings) as ledger, _retrying(settings, ledger) as retry:
        entries = await _chosen(ledger, given)
        stayed = 0
        for at, entry in enumerate(entries):
            result = await _try(ledger, retry, entry, say, yes=given.yes)
            if result is None:
                continue
            if result.waiting:
                left = len(entries) - at
                say(f"bridge: {left} stay, the backend takes nothing now: {result.said}", sys.stderr)
                return _STAYED
            say(f"{entry.name()}: {result.said}")
            stayed += not result.gone
        say(f"{len(entries) - stayed} gone, {stayed} stay")
    return _STAYED if stayed else 0


async def _try(ledger: Ledger, retry: Retry, entry: Entry, say: Callable[[str], None], *, yes: bool) -> Result | None:
    """None where somebody else has settled the letter meanwhile."""
    from bridge.sweep.retry import Result

    kept = await ledger.dead_letter(entry.number)
    if kept is None:
        return None
    if entry.kind in ("spans", "events"):
        say(f"{entry.name()}: {entry.reason}")
        say("  which ones is not known: all are sent, and a backend that ignores their ids shows some twice")
        if not (yes or _agreed("Send them?")):
            return Result(gone=False, said="not sent, that wants --yes")
    return await retry.retry(kept)


async def _drop(given: argparse.Namespace, settings: Settings) -> int:
    from bridge.errors import SettingsError

    say = _speaker(settings)
    async with _ledger(settings) as ledger:
        entries = await _chosen(ledger, given)
        if given.all and entries and not (given.yes or _agreed(f"Delete {len(entries)} dead letters for good?")):
            raise SettingsError("nothing was deleted: `drop --all` wants --yes")
        for entry in entries:
            await ledger.settle_dead_letter(entry.number)
            say(f"{entry.name()}: deleted")
    return 0


async def _chosen(ledger: Ledger, given: argparse.Namespace) -> Sequence[Entry]:
    """The letters that were named, each once; raises SettingsError before anything is done where one is not there."""
    from bridge.commands.letter_text import Entry
    from bridge.errors import SettingsError

    if given.all == bool(given.numbers):
        raise SettingsError("name the dead letters by their numbers, or say --all")
    if given.all:
        return await _entries(ledger)
    return [Entry.of(await _letter(ledger, number)) for number in dict.fromkeys(given.numbers)]


async def _entries(ledger: Ledger) -> Sequence[Entry]:
    from bridge.commands.letter_text import Entry

    entries: list[Entry] = []
    while page := await ledger.dead_letters(after=entries[-1].number if entries else 0, limit=_AT_ONCE):
        entries += map(Entry.of, page)
    return entries


async def _letter(ledger: Ledger, number: int) -> KeptLetter:
    from bridge.errors import SettingsError

    kept = await ledger.dead_letter(number)
    if kept is None:
        raise SettingsError(f"there is no dead letter {number}: `bridge dead-letters list` shows those there are")
    return kept


@contextlib.asynccontextmanager
async def _ledger(settings: Settings) -> AsyncIterator[Ledger]:
    from bridge import app
    from bridge.clock import SystemClock

    ledger = await app.ledger_beside(settings, now=SystemClock().now())
    try:
        yield ledger
    finally:
        await ledger.close()


@contextlib.asynccontextmanager
async def _retrying(settings: Settings, ledger: Ledger) -> AsyncIterator[Retry]:
    from bridge import app
    from bridge.clock import SystemClock
    from bridge.export.answers import Signal
    from bridge.resource import resource
    from bridge.settings import destination
    from bridge.sweep.retry import Retry

    clock = SystemClock()
    sink = app.backend(settings, clock)
    try:
        yield Retry(
            ledger,
            sink,
            signals={signal for signal in Signal if destination(settings.export, signal.value) != "none"},
            resource=resource(settings),
            per_agent=settings.map.service_per_agent,
            options=app.map_options(settings),
            now=clock.now(),
        )
    finally:
        await sink.close()


def _speaker(settings: Settings) -> Say:
    """Prints a line without secrets; what is unprintable, or not in the output's encoding, is escaped."""
    from bridge import app
    from bridge.commands.letter_text import harmless

    mask = app.masking(settings)  # a letter's reason may come from before a key was changed

    def say(line: str, stream: TextIO = sys.stdout) -> None:
        encoding = stream.encoding or "utf-8"
        print(harmless(mask(line)).encode(encoding, "backslashreplace").decode(encoding), file=stream)

    return say


def _agreed(question: str) -> bool:
    """Ask where somebody can answer."""
    if not sys.stdin.isatty():
        return False
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
