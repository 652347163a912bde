"""What a person types. Exit codes: see `EXIT_CODES`; a BridgeError becomes one line on stderr, never a traceback."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NoReturn

from bridge import __version__
from bridge.commands import backfill, dead_letters, healthcheck, state
from bridge.commands.command import declare, described
from bridge.errors import BridgeError

if TYPE_CHECKING:
    from bridge.settings import Settings

EXIT_CODES: Final = """\
exit codes:
  0  done: everything that was due is sent
  1  something is wrong that is not listed here (doctor and healthcheck: what they asked about)
  2  a setting or an argument is wrong; nothing was started
  3  the ledger cannot be used; nothing was lost
  4  Letta could not be read; what was read is sent (once, backfill)
  5  the backend did not take everything; it is kept and will be sent again (once, dead-letters)
  6  not all could be done yet, as where a run is still going on: run it again (once, backfill)
"""
_ONCE: Final = (
    " Sweeps until every new run is found. What is still going on, or not settled yet, is left for the next time;"
    " the exit code says what happened (`bridge --help` lists them)."
)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    given = _parser().parse_args(arguments)
    try:
        code = _dispatch(given)
    except BridgeError as error:
        for line in str(error).splitlines():
            print(f"bridge: {line}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _dispatch(given: argparse.Namespace) -> int:
    """A command that needs the settings gets them; the others are plain functions."""
    if "plain" in given:
        code: int = given.plain(given)
    else:
        import asyncio  # here, for a health check needs none, and this is half of its time

        code = asyncio.run(given.command(given, _load(given)))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bridge",
        description="Shows Letta agents in any backend for OpenTelemetry: reads their runs and steps over Letta's\n"
        "REST API and sends them as spans and metrics over OTLP.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bridge {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = declare(commands, "run", _run, "follow a Letta server until stopped")
    once = declare(commands, "once", _once, "find all that is new, send what is due, and end: for cron")
    once.description = f"{once.description}{_ONCE}"
    for following in (run, once):
        following.epilog = "Settings are environment variables or a file; `bridge settings reference` lists them."
        following.add_argument(
            "--dry-run", action="store_true", help="print the spans; send nothing and remember nothing"
        )
    declare(commands, "doctor", _doctor, "check Letta, the backend and the ledger, and say what to do")
    for module in (backfill, dead_letters, healthcheck, state):
        module.add(commands)
    about = "see it work, without an account or a server"
    demo = commands.add_parser("demo", help=about, description=described(about))
    demo.add_argument(
        "--port", type=int, default=8080, help="port of the page (default: %(default)s, or the next one that is free)"
    )
    demo.set_defaults(plain=_demo)
    about = "print an example of the settings file, its JSON schema, or the reference of all settings"
    settings = commands.add_parser("settings", help=about, description=described(about))
    settings.add_argument("what", choices=["example", "schema", "reference"], help="which of them to print")
    settings.set_defaults(plain=_settings)
    return parser


def _load(given: argparse.Namespace) -> Settings:
    from bridge import log
    from bridge.settings import find_config, load, secret_values

    settings = load(os.environ, find_config(os.environ, given.config))
    log.configure(level=settings.log.level, form=settings.log.format, secrets=secret_values(settings))
    for note in settings.notes:
        log.get_logger(__name__).warning(note)
    return settings


async def _run(given: argparse.Namespace, settings: Settings) -> int:
    from bridge import app

    await app.run(settings, dry_run=given.dry_run)
    return 0


async def _once(given: argparse.Namespace, settings: Settings) -> int:
    from bridge import app

    return await app.once(settings, dry_run=given.dry_run)


async def _doctor(_: argparse.Namespace, settings: Settings) -> int:
    from bridge import doctor

    return await doctor.examine(settings, sys.stdout)


def _demo(given: argparse.Namespace) -> int:
    import asyncio

    from bridge.demo.demo import run_demo

    asyncio.run(run_demo(port=given.port))
    return 0


def _settings(given: argparse.Namespace) -> int:
    from bridge.settings import generate

    pages = {"example": generate.example, "schema": generate.schema, "reference": generate.reference}
    sys.stdout.write(pages[given.what]())
    return 0
