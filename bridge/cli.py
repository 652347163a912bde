"""What a person types. Exit codes: see `EXIT_CODES`; a BridgeError becomes one line on stderr, never a traceback."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from bridge import __version__
from bridge.commands import backfill, dead_letters, state
from bridge.errors import BridgeError

if TYPE_CHECKING:
    from bridge.settings import Settings

EXIT_CODES: Final = """\
exit codes:
  0  done: everything that was due is sent
  1  failed in a way not listed here
  2  a setting or an argument is wrong; nothing was started
  3  the ledger cannot be used; nothing was lost
  4  Letta could not be read; what was read is sent (once)
  5  the backend did not take everything; it is kept and will be sent again (once)
  6  there was more due than one sweep does; run again (once)
"""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit."""
    given = _parser().parse_args(arguments)
    try:
        code = given.run(given) if "run" in given else asyncio.run(given.command(given, _load(given)))
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bridge",
        description="Shows Letta agents in any tracing backend: reads Runs and Steps over Letta's REST API and"
        " sends them as spans and metrics over OTLP.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bridge {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _settings_command(commands, "run", _run, "follow a Letta server until stopped", dry_run=True)
    _settings_command(commands, "once", _once, "one sweep, for cron; the exit code says what happened", dry_run=True)
    _settings_command(commands, "doctor", _doctor, "check Letta, the backend and the ledger, and say what to do")
    for module in (backfill, dead_letters, state):
        module.add(commands)
    demo = commands.add_parser("demo", help="see it work: no account and no server needed")
    demo.add_argument("--port", type=int, default=8080, help="port of the page (default: %(default)s)")
    demo.set_defaults(run=_demo)
    settings = commands.add_parser("settings", help="print an example file, its JSON schema, or the reference")
    settings.add_argument("what", choices=["example", "schema", "reference"])
    settings.set_defaults(run=_settings)
    return parser


def _settings_command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: object,
    help_: str,
    *,
    dry_run: bool = False,
) -> None:
    command = commands.add_parser(name, help=help_, description=f"{help_[0].upper()}{help_[1:]}.")
    command.add_argument(
        "--config", type=Path, metavar="FILE", help="settings file (default: $BRIDGE_CONFIG, then config/bridge.yaml)"
    )
    if dry_run:
        command.add_argument(
            "--dry-run", action="store_true", help="print the spans; send nothing and remember nothing"
        )
    command.set_defaults(run=run)


def _load(given: argparse.Namespace) -> Settings:
    from bridge import log
    from bridge.settings import find_config, load, secret_values

    settings = load(os.environ, find_config(os.environ, given.config))
    log.configure(level=settings.log.level, form=settings.log.format, secrets=secret_values(settings))
    for note in settings.notes:
        log.get_logger(__name__).warning(note)
    return settings


def _run(given: argparse.Namespace) -> int:
    from bridge import app

    asyncio.run(app.run(_load(given), dry_run=given.dry_run))
    return 0


def _once(given: argparse.Namespace) -> int:
    from bridge import app

    return asyncio.run(app.once(_load(given), dry_run=given.dry_run))


def _doctor(given: argparse.Namespace) -> int:
    from bridge import doctor

    return asyncio.run(doctor.examine(_load(given), sys.stdout))


def _demo(given: argparse.Namespace) -> int:
    from bridge.demo.demo import run_demo

    asyncio.run(run_demo(port=given.port))
    return 0


def _settings(given: argparse.Namespace) -> int:
    from bridge.settings import generate

    pages = {"example": generate.example, "schema": generate.schema, "reference": generate.reference}
    sys.stdout.write(pages[given.what]())
    return 0
