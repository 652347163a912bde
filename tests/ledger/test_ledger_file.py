"""The ledger's file: its mode, its one user, and what a person is told when it fails."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledger_samples import NOW, batch, counted, followed, visited

from bridge.errors import LedgerError, SettingsError
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Ledger
from bridge.ledger.open import open_ledger
from bridge.ledger.sqlite import SqliteLedger

Opens = Callable[..., Awaitable[Ledger]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bridge.ledger"


@pytest.fixture
async def opens() -> AsyncIterator[Opens]:
    opened: list[Ledger] = []

    async def opens(location: object) -> Ledger:
        opened.append(await open_ledger(str(location), source="letta", destination="otlp", now=NOW))
        return opened[-1]

    yield opens
    for ledger in opened:
        await ledger.close()


class TestLocation:
    async def test_is_a_path(self, opens: Opens, path: Path) -> None:
        await opens(path)
        assert path.exists()

    async def test_is_a_path_from_here(self, opens: Opens, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(path.parent)
        await opens("bridge.ledger")
        assert path.exists()

    async def test_is_a_path_from_home(self, opens: Opens, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(path.parent))
        await opens("~/bridge.ledger")
        assert path.exists()

    async def test_is_an_absolute_url(self, opens: Opens, path: Path) -> None:
        await opens(f"sqlite:///{path}")
        assert path.exists()

    async def test_is_a_relative_url(self, opens: Opens, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(path.parent)
        await opens("sqlite:///bridge.ledger")
        assert path.exists()

    @pytest.mark.parametrize(
        "url", ["postgresql://u:secret@db/x", "postgres://u:secret@db/x", "mysql://u:secret@db/x"]
    )
    async def test_of_another_database_is_refused_in_a_line(self, opens: Opens, url: str) -> None:
        with pytest.raises(SettingsError, match="give a path") as error:
            await opens(url)
        assert "secret" not in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("location", ["", "  ", "sqlite:///"])
    async def test_of_nothing_is_refused(self, opens: Opens, location: str) -> None:
        with pytest.raises(SettingsError, match="no path"):
            await opens(location)

    async def test_postgresql_says_that_it_is_not_there_yet(self, opens: Opens) -> None:
        with pytest.raises(SettingsError, match="PostgreSQL is not supported yet"):
            await opens("postgresql://localhost/letta")


class TestMode:
    @pytest.fixture
    def loose_umask(self) -> Iterator[None]:
        before = os.umask(0)
        yield
        os.umask(before)

    @pytest.mark.usefixtures("loose_umask")
    async def test_everything_is_for_its_owner_alone(self, opens: Opens, path: Path) -> None:
        await (await opens(path)).commit(batch(plan=counted(1)))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
        assert modes == dict.fromkeys(
            ["bridge.ledger", "bridge.ledger-wal", "bridge.ledger-shm", "bridge.ledger-lock"], 0o600
        )

    @pytest.mark.usefixtures("loose_umask")
    async def test_the_file_is_private_from_its_first_moment(
        self, opens: Opens, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made: dict[Path, int] = {}
        fstat = os.fstat

        def seen(descriptor: int) -> os.stat_result:
            for file in path.parent.iterdir():
                made.setdefault(file, stat.S_IMODE(file.stat().st_mode))
            return fstat(descriptor)

        monkeypatch.setattr(os, "fstat", seen)  # called right after each file is made
        await opens(path)
        assert made == {path: 0o600, path.with_name("bridge.ledger-lock"): 0o600}

    async def test_an_empty_file_that_lies_there_is_made_private(self, opens: Opens, path: Path) -> None:
        path.touch(mode=0o644)
        await opens(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    async def test_a_mode_that_was_chosen_later_is_left(self, opens: Opens, path: Path) -> None:
        await (await opens(path)).close()
        path.chmod(0o640)
        await opens(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640


class TestOneUser:
    async def test_a_second_opener_is_refused_in_a_line(self, opens: Opens, path: Path) -> None:
        first = await opens(path)
        with pytest.raises(LedgerError, match="another bridge is using it") as error:
            await opens(path)
        assert error.value.exit_code == 3
        assert "\n" not in str(error.value)
        await first.commit(batch(plan=counted(1)))

    async def test_a_second_way_to_the_same_file_is_no_way_round(self, opens: Opens, path: Path) -> None:
        await opens(path)
        link = path.with_name("link.ledger")
        link.symlink_to(path)
        with pytest.raises(LedgerError, match="another bridge is using it"):
            await opens(link)

    async def test_closing_lets_the_next_one_in(self, opens: Opens, path: Path) -> None:
        await (await opens(path)).close()
        await opens(path)

    async def test_a_failed_opening_lets_the_next_one_in(self, opens: Opens, path: Path) -> None:
        path.write_bytes(b"not a database " * 100)
        for _ in range(2):
            with pytest.raises(LedgerError, match="not a ledger"):
                await opens(path)

    async def test_a_killed_process_lets_the_next_one_in(self, opens: Opens, path: Path) -> None:
        holder = subprocess.Popen([sys.executable, "-c", _HOLD, path], stdout=subprocess.PIPE)
        with holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(LedgerError, match="another bridge is using it"):
                await opens(path)
            holder.send_signal(signal.SIGKILL)
        assert await (await opens(path)).run("run-1") is not None

    async def test_a_person_may_look_into_it_meanwhile(self, opens: Opens, path: Path) -> None:
        await (await opens(path)).discover([followed("run-1")], now=0)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            assert reader.execute("SELECT id FROM run").fetchall() == [("run-1",)]


_HOLD = """
import asyncio, signal, sys
from bridge.follow.state import FollowedRun
from bridge.ledger.open import open_ledger

async def hold():
    ledger = await open_ledger(sys.argv[1], source="letta", destination="otlp", now=1)
    await ledger.discover([FollowedRun(id="run-1", created_ns=1, first_seen=1, last_news=1)], now=0)
    print("held", flush=True)
    signal.pause()

asyncio.run(hold())
"""


class TestTrouble:
    """Each is one line with the path, and says what to do; what was in the file stays."""

    async def refused(self, opens: Opens, path: Path, match: str) -> None:
        with pytest.raises(LedgerError, match=match) as error:
            await opens(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)

    async def test_no_directory(self, opens: Opens, path: Path) -> None:
        await self.refused(opens, path.parent / "missing" / "bridge.ledger", "directory does not exist: create it")
        assert not (path.parent / "missing").exists()

    async def test_a_file_for_a_directory(self, opens: Opens, path: Path) -> None:
        path.touch()
        await self.refused(opens, path / "bridge.ledger", "directory does not exist")

    async def test_a_directory_for_a_file(self, opens: Opens, path: Path) -> None:
        path.mkdir()
        await self.refused(opens, path, "that is a directory")

    async def test_not_a_database(self, opens: Opens, path: Path) -> None:
        text = b"Dear diary, " * 400
        path.write_bytes(text)
        await self.refused(opens, path, "it is not a ledger")
        assert path.read_bytes() == text

    async def test_a_database_of_another_program(self, opens: Opens, path: Path) -> None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE songs (title)")
        content = path.read_bytes()
        await self.refused(opens, path, "another program")
        assert path.read_bytes() == content

    async def test_a_damaged_file(self, opens: Opens, path: Path) -> None:
        ledger = await opens(path)
        await ledger.discover([followed(f"run-{n}") for n in range(500)], now=0)
        await ledger.close()
        content = path.read_bytes()[:-4096] + b"\x55" * 4096  # a page that opening alone does not look at
        path.write_bytes(content)
        await self.refused(opens, path, "it is damaged")
        assert path.read_bytes() == content

    async def test_a_record_of_another_shape(self, opens: Opens, path: Path) -> None:
        ledger = await opens(path)
        await ledger.discover([followed("run-1")], now=0)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE run SET state = '{}'")
        with pytest.raises(LedgerError, match="does not fit this version of the bridge") as error:
            await ledger.run("run-1")
        assert "\n" not in str(error.value)

    async def test_a_ledger_whose_schema_was_changed(self, opens: Opens, path: Path) -> None:
        await (await opens(path)).close()
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE stream")
        for _ in range(2):  # the first failure has let go of the lock
            await self.refused(opens, path, "no such table: stream")

    def test_a_failing_disk(self, path: Path) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC  # the kind in its low byte, the detail above
        file = LedgerFile(path)
        with closing(file), pytest.raises(LedgerError, match="the disk fails to read or write it"), file.writing():
            raise error

    async def test_a_full_disk(self, path: Path) -> None:
        file = LedgerFile(path)
        with closing(file):
            ledger = SqliteLedger.of(file, source="letta", destination="otlp", now=NOW)
            await ledger.commit(batch(plan=counted(1)))
            pages = file.connection.execute("PRAGMA page_count").fetchone()[0]
            file.connection.execute(f"PRAGMA max_page_count = {pages + 1}")
            with pytest.raises(LedgerError, match="the disk is full: free some space") as error:
                await ledger.prepare(batch(bytes(100_000), plan=counted(1)))
            assert str(path) in str(error.value)
            assert await ledger.in_flight() is None
            file.connection.execute(f"PRAGMA max_page_count = {pages + 1000}")
            await ledger.prepare(batch(bytes(100_000)))

    async def test_a_file_that_others_keep_locked(self, path: Path) -> None:
        file = LedgerFile(path)
        with closing(file), closing(sqlite3.connect(path)) as other:
            ledger = SqliteLedger.of(file, source="letta", destination="otlp", now=NOW)
            file.connection.execute("PRAGMA busy_timeout = 1")
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerError, match="another program holds it"):
                await ledger.discover([followed("run-1")], now=0)
            other.rollback()
            assert await ledger.discover([followed("run-1")], now=0) == 1


class TestNoPermission:
    """As a user whom the system stops: root is not stopped, and becomes nobody."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)
        shutil.rmtree(folder)

    @pytest.fixture
    def as_somebody(self, folder: Path) -> Iterator[Callable[[], None]]:
        """Drops root's rights when it is called, until the test ends."""
        before = os.geteuid()

        def drops() -> None:
            if before == 0:
                os.seteuid(65534)

        yield drops
        os.seteuid(before)

    async def test_a_file_that_cannot_be_written(
        self, opens: Opens, folder: Path, as_somebody: Callable[[], None]
    ) -> None:
        path = folder / "bridge.ledger"
        await (await opens(path)).close()
        folder.chmod(0o777)
        path.with_name("bridge.ledger-lock").chmod(0o666)
        path.chmod(0o444)
        as_somebody()
        await TestTrouble().refused(opens, path, "no permission")

    async def test_a_directory_that_cannot_be_written(
        self, opens: Opens, folder: Path, as_somebody: Callable[[], None]
    ) -> None:
        folder.chmod(0o555)
        as_somebody()
        await TestTrouble().refused(opens, folder / "bridge.ledger", "no permission")

    async def test_a_file_that_became_read_only(self, path: Path) -> None:
        file = LedgerFile(path)
        with closing(file):
            ledger = SqliteLedger.of(file, source="letta", destination="otlp", now=NOW)
            file.connection.execute("PRAGMA query_only = ON")
            with pytest.raises(LedgerError, match="it cannot be written: check its owner"):
                await ledger.discover([followed("run-1")], now=0)
            assert await ledger.run("run-1") is None


class TestSize:
    async def test_follows_the_open_runs_and_not_history(self, opens: Opens, path: Path) -> None:
        ledger = await opens(path)
        sizes = [await self._after_a_thousand_runs(ledger, start) for start in range(0, 10_000, 1_000)]
        assert sizes[-1] <= sizes[1] * 1.1
        assert sizes[-1] < 12 << 20
        assert await ledger.run("run-0") is None

    async def _after_a_thousand_runs(self, ledger: Ledger, start: int) -> int:
        names = [(f"run-{n}", n) for n in range(start, start + 1_000)]
        await ledger.discover([followed(name, created_ns=n) for name, n in names], forget_before_ns=start, now=0)
        sent = batch(bytes(200_000), plan=counted(1_000))
        await ledger.prepare(sent)
        await ledger.commit(sent)
        await ledger.commit(visited(*[followed(name, created_ns=n, phase="closed") for name, n in names]))
        return await ledger.size_bytes()

    async def test_counts_what_lies_beside_the_file(self, opens: Opens, path: Path) -> None:
        ledger = await opens(path)
        await ledger.discover([followed("run-1")], now=0)
        assert await ledger.size_bytes() == sum(file.stat().st_size for file in path.parent.iterdir())
        assert path.with_name("bridge.ledger-wal").stat().st_size > 0
