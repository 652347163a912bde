"""Who may open a ledger beside whom, and what comes of their work at the same time."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from ledger_samples import LETTER, NOW, STEPS, SUCCESS, batch, followed

from bridge.errors import LedgerError
from bridge.ledger import migrations
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Total
from bridge.ledger.lock import Lock, Role
from bridge.ledger.open import open_beside, open_ledger
from bridge.ledger.sqlite import SqliteLedger

Opens = Callable[..., LedgerFile]
OLD = migrations.scripts()[:-1]


@pytest.fixture
def opens(path: Path) -> Iterator[Opens]:
    with ExitStack() as stack:

        def opens(role: Role, scripts: Sequence[str] | None = None) -> LedgerFile:
            file = LedgerFile(path, role=role, scripts=scripts)
            return stack.enter_context(closing(file))

        yield opens


@contextmanager
def refused(match: str) -> Iterator[None]:
    with pytest.raises(LedgerError, match=match) as error:
        yield
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 3


def version(file: LedgerFile) -> int:
    return int(file.connection.execute("PRAGMA user_version").fetchone()[0])


CURRENT = len(migrations.scripts())


class TestService:
    def test_is_one(self, opens: Opens) -> None:
        opens(Role.SERVICE)
        with refused("another bridge is using it"):
            opens(Role.SERVICE)

    def test_runs_beside_a_backfill_and_a_person(self, opens: Opens) -> None:
        opens(Role.BACKFILL)
        opens(Role.SERVICE)
        opens(Role.BESIDE)

    @pytest.mark.fault("ledger", "an older schema while a backfill of that version runs")
    def test_does_not_migrate_under_a_backfill_of_an_older_version(self, opens: Opens, path: Path) -> None:
        backfill = opens(Role.BACKFILL, scripts=OLD)
        for _ in range(2):  # a refusal has let go of the lock
            with refused("a backfill of an older version is running on it: stop that one first"):
                opens(Role.SERVICE)
        assert version(backfill) == CURRENT - 1
        backfill.close()
        assert version(opens(Role.SERVICE)) == CURRENT

    def test_the_next_backfill_may_begin_after_a_migration(self, opens: Opens) -> None:
        opens(Role.SERVICE, scripts=OLD).close()
        opens(Role.SERVICE)
        opens(Role.BACKFILL)


class TestBackfill:
    def test_is_one(self, opens: Opens) -> None:
        opens(Role.BACKFILL)
        with refused("another backfill is running on it: wait until it is done"):
            opens(Role.BACKFILL)

    def test_makes_the_file_where_there_is_none(self, opens: Opens) -> None:
        assert version(opens(Role.BACKFILL)) == CURRENT
        opens(Role.SERVICE)  # the service's lock was only held meanwhile

    def test_brings_an_older_file_up_to_date(self, opens: Opens) -> None:
        opens(Role.SERVICE, scripts=OLD).close()
        assert version(opens(Role.BACKFILL)) == CURRENT

    @pytest.mark.fault("ledger", "an older schema while a service of that version runs")
    def test_does_not_migrate_under_a_service_of_an_older_version(self, opens: Opens) -> None:
        service = opens(Role.SERVICE, scripts=OLD)
        with refused(f"it is of version {CURRENT - 1}, and this bridge needs {CURRENT}, and a service is using it"):
            opens(Role.BACKFILL)
        assert version(service) == CURRENT - 1
        opens(Role.BACKFILL, scripts=OLD)

    def test_waits_for_a_service_that_is_just_making_the_file(self, opens: Opens, path: Path) -> None:
        service = Lock(path, Role.SERVICE, taken="")
        with refused("a service is just making it: try again in a moment"):
            opens(Role.BACKFILL)
        service.release()
        opens(Role.BACKFILL)


class TestBeside:
    def test_needs_a_file_and_makes_none(self, opens: Opens, path: Path) -> None:
        with refused("there is none: `bridge run` makes it"):
            opens(Role.BESIDE)
        assert list(path.parent.iterdir()) == []

    def test_needs_a_ledger_in_the_file(self, opens: Opens, path: Path) -> None:
        path.touch()
        with refused("it is empty: `bridge run` brings it up to date"):
            opens(Role.BESIDE)
        assert path.read_bytes() == b""

    @pytest.mark.fault("ledger", "an older schema for a command beside the service")
    def test_does_not_migrate(self, opens: Opens, path: Path) -> None:
        opens(Role.SERVICE, scripts=OLD).close()
        before = path.read_bytes()
        with refused(f"it is of version {CURRENT - 1}, and this bridge needs {CURRENT}: `bridge run` brings it up"):
            opens(Role.BESIDE)
        assert path.read_bytes() == before

    @pytest.mark.fault("ledger", "a newer schema for a command beside the service")
    def test_does_not_read_a_newer_file(self, opens: Opens, path: Path) -> None:
        opens(Role.SERVICE)
        with refused("run the newer bridge that wrote it"):
            opens(Role.BESIDE, scripts=OLD)

    def test_takes_no_lock(self, opens: Opens) -> None:
        opens(Role.SERVICE).close()
        for _ in range(3):
            opens(Role.BESIDE)
        opens(Role.SERVICE)
        opens(Role.BACKFILL)

    async def test_settles_a_letter_while_the_service_sends(self, path: Path) -> None:
        service = await open_ledger(str(path), source="letta", destination="otlp", now=NOW)
        await service.commit(batch(), [LETTER])
        await service.prepare(batch(b"in flight"))
        beside = await open_beside(str(path), source="letta", destination="otlp", now=NOW)
        (letter,) = await beside.dead_letters()
        assert await beside.settle_dead_letter(letter.id)
        await beside.close()
        assert await service.dead_letter_count() == 0
        assert await service.in_flight() == batch(b"in flight")
        await service.close()


class TestAlone:
    def test_needs_that_no_service_runs(self, opens: Opens) -> None:
        opens(Role.SERVICE)
        with refused("a bridge is using it: stop that one first"):
            opens(Role.ALONE)

    def test_needs_that_no_backfill_runs(self, opens: Opens) -> None:
        backfill = opens(Role.BACKFILL)
        with refused("a backfill is using it: stop that one first"):
            opens(Role.ALONE)
        opens(Role.SERVICE).close()  # what it had taken is free again
        backfill.close()
        opens(Role.ALONE)

    def test_keeps_both_out(self, opens: Opens) -> None:
        opens(Role.SERVICE).close()
        alone = opens(Role.ALONE)
        for role in (Role.SERVICE, Role.BACKFILL):
            with refused("another"):
                opens(role)
        alone.close()
        opens(Role.SERVICE)
        opens(Role.BACKFILL)

    def test_makes_no_file(self, opens: Opens, path: Path) -> None:
        with refused("there is none"):
            opens(Role.ALONE)
        assert list(path.parent.iterdir()) == []


class TestAtTheSameTime:
    async def test_two_processes_lose_no_update(self, path: Path) -> None:
        LedgerFile(path).close()
        commands = [[sys.executable, _HOLDER, path, role.value, "100"] for role in (Role.SERVICE, Role.BACKFILL)]
        for done in [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]:
            with done:
                assert done.communicate()[0] == b"held\n"
            assert done.returncode == 0
        ledger = SqliteLedger.of(LedgerFile(path), source="letta", destination="otlp", now=NOW)
        assert await ledger.totals() == {(STEPS, SUCCESS): Total(sum=200)}
        await ledger.close()

    @pytest.mark.parametrize("role", [Role.SERVICE, Role.BACKFILL])
    def test_a_lock_goes_with_its_process_however_that_dies(self, opens: Opens, path: Path, role: Role) -> None:
        with subprocess.Popen([sys.executable, _HOLDER, path, role.value], stdout=subprocess.PIPE) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with refused("another"):
                opens(role)
            holder.kill()
        opens(role)

    async def test_a_reader_sees_whole_commits_alone(self, opens: Opens) -> None:
        writer, reader = opens(Role.SERVICE), opens(Role.BESIDE)
        ours = SqliteLedger.of(writer, source="letta", destination="otlp", now=NOW)
        theirs = SqliteLedger.of(reader, source="letta", destination="otlp", now=NOW)
        with writer.writing() as connection:
            connection.execute("UPDATE stream SET origin_ns = 7")
            assert await theirs.origin() is None
        assert await theirs.origin() == 7
        await ours.discover([followed("run-1")], now=NOW)
        assert await theirs.run("run-1") is not None


def test_every_refusal_names_the_ledger(opens: Opens, path: Path) -> None:
    opens(Role.SERVICE)
    with refused(f"^ledger {re.escape(str(path))}: "):
        opens(Role.SERVICE)


_HOLDER = Path(__file__).with_name("hold_ledger.py")
