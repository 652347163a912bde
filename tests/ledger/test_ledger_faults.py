"""Each way in which the storage of a ledger fails: one line with the path and what to do, and nothing is lost.

Once the cause is gone the same ledger goes on where it stood.
"""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledger_samples import NOW, STEPS, SUCCESS, Opens, batch, counted, followed

from bridge.errors import LedgerError
from bridge.ledger.file import LedgerFile
from bridge.ledger.ledger import Ledger, Total
from bridge.ledger.lock import Role
from bridge.ledger.open import open_beside
from bridge.ledger.sqlite import SqliteLedger

_PAGE = 4096


async def refused(opens: Opens, path: Path, match: str) -> None:
    with pytest.raises(LedgerError, match=match) as error:
        await opens(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


async def used(opens: Opens, path: Path) -> None:
    """A ledger of a few dozen pages that holds a total of one, closed again."""
    ledger = await opens(path)
    await ledger.discover([followed(f"run-{n}") for n in range(100)], now=0)
    await ledger.commit(batch(plan=counted(1)))
    await ledger.close()


async def killed_after_a_commit(path: Path) -> None:
    """A ledger whose total of one is still in the `-wal`, as a kill leaves it."""
    script = Path(__file__).with_name("hold_ledger.py")
    with subprocess.Popen([sys.executable, script, path, "service", "kill"], stdout=subprocess.PIPE) as holder:
        assert holder.wait() == -signal.SIGKILL
    assert path.with_name("bridge.ledger-wal").stat().st_size


async def goes_on(opens: Opens, path: Path, *, counted_so_far: int = 1) -> None:
    """The ledger holds what it held, and takes more."""
    ledger = await opens(path)
    assert await ledger.totals() == {(STEPS, SUCCESS): Total(sum=counted_so_far)}
    await ledger.commit(batch(plan=counted(1)))
    assert await ledger.totals() == {(STEPS, SUCCESS): Total(sum=counted_so_far + 1)}
    await ledger.close()


class TestTrouble:
    """Each is one line with the path, and says what to do; what was in the file stays."""

    @pytest.mark.fault("ledger", "no directory")
    async def test_no_directory(self, opens: Opens, path: Path) -> None:
        await refused(opens, path.parent / "missing" / "bridge.ledger", "directory does not exist: create it")
        assert not (path.parent / "missing").exists()

    @pytest.mark.fault("ledger", "a file where its directory should be")
    async def test_a_file_for_a_directory(self, opens: Opens, path: Path) -> None:
        path.touch()
        await refused(opens, path / "bridge.ledger", "directory does not exist")

    @pytest.mark.fault("ledger", "a directory where it should be")
    async def test_a_directory_for_a_file(self, opens: Opens, path: Path) -> None:
        path.mkdir()
        await refused(opens, path, "that is a directory")

    @pytest.mark.fault("ledger", "a file that is no database")
    async def test_not_a_database(self, opens: Opens, path: Path) -> None:
        text = b"Dear diary, " * 400
        path.write_bytes(text)
        await refused(opens, path, "it is not a ledger")
        assert path.read_bytes() == text

    @pytest.mark.fault("ledger", "another program's database")
    async def test_a_database_of_another_program(self, opens: Opens, path: Path) -> None:
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE songs (title)")
        content = path.read_bytes()
        await refused(opens, path, "another program")
        assert path.read_bytes() == content

    @pytest.mark.fault("ledger", "a damaged last page")
    async def test_a_damaged_file(self, opens: Opens, path: Path) -> None:
        ledger = await opens(path)
        await ledger.discover([followed(f"run-{n}") for n in range(500)], now=0)
        await ledger.close()
        content = path.read_bytes()[:-4096] + b"\x55" * 4096  # a page that opening alone does not look at
        path.write_bytes(content)
        await refused(opens, path, "it is damaged")
        assert path.read_bytes() == content

    @pytest.mark.fault("ledger", "a record of another shape")
    async def test_a_record_of_another_shape(self, opens: Opens, path: Path) -> None:
        ledger = await opens(path)
        await ledger.discover([followed("run-1")], now=0)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("UPDATE run SET state = '{}'")
        with pytest.raises(LedgerError, match="does not fit this version of the bridge") as error:
            await ledger.run("run-1")
        assert "\n" not in str(error.value)

    @pytest.mark.fault("ledger", "a table dropped by hand")
    async def test_a_ledger_whose_schema_was_changed(self, opens: Opens, path: Path) -> None:
        await (await opens(path)).close()
        with closing(sqlite3.connect(path)) as other:
            other.execute("DROP TABLE stream")
        for _ in range(2):  # the first failure has let go of the lock
            await refused(opens, path, "no such table: stream")

    @pytest.mark.fault("ledger", "a failing disk")
    def test_a_failing_disk(self, path: Path) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC  # the kind in its low byte, the detail above
        file = LedgerFile(path)
        with closing(file), pytest.raises(LedgerError, match="the disk fails to read or write it"), file.writing():
            raise error

    @pytest.mark.fault("ledger", "no room for another page")
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

    @pytest.mark.fault("ledger", "locked by another program")
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

    @pytest.mark.fault("ledger", "a read-only file")
    async def test_a_file_that_cannot_be_written(
        self, opens: Opens, folder: Path, as_somebody: Callable[[], None]
    ) -> None:
        path = folder / "bridge.ledger"
        await (await opens(path)).close()
        folder.chmod(0o777)
        path.with_name("bridge.ledger-lock").chmod(0o666)
        path.chmod(0o444)
        as_somebody()
        await refused(opens, path, "no permission")

    @pytest.mark.fault("ledger", "a read-only directory")
    async def test_a_directory_that_cannot_be_written(
        self, opens: Opens, folder: Path, as_somebody: Callable[[], None]
    ) -> None:
        folder.chmod(0o555)
        as_somebody()
        await refused(opens, folder / "bridge.ledger", "no permission")

    @pytest.mark.fault("ledger", "read-only while in use")
    async def test_a_file_that_became_read_only(self, path: Path) -> None:
        file = LedgerFile(path)
        with closing(file):
            ledger = SqliteLedger.of(file, source="letta", destination="otlp", now=NOW)
            file.connection.execute("PRAGMA query_only = ON")
            with pytest.raises(LedgerError, match="it cannot be written: check its owner"):
                await ledger.discover([followed("run-1")], now=0)
            assert await ledger.run("run-1") is None


class TestDamage:
    """A damaged file is not touched, so that what can be saved of it can be."""

    @pytest.mark.fault("ledger", "a damaged header")
    @pytest.mark.parametrize(("start", "length"), [(0, 16), (0, 100), (16, 84), (100, 500)])
    async def test_of_the_header(self, opens: Opens, path: Path, start: int, length: int) -> None:
        await self.damaged(opens, path, lambda whole: whole[:start] + b"\x55" * length + whole[start + length :])

    @pytest.mark.fault("ledger", "a truncated file")
    @pytest.mark.parametrize("left", [1, 50, 100, 511, 512, 4095, 4096, 5000, 40_960])
    async def test_by_truncation(self, opens: Opens, path: Path, left: int) -> None:
        await self.damaged(opens, path, lambda whole: whole[:left])

    @pytest.mark.fault("ledger", "a damaged page in the middle")
    @pytest.mark.parametrize("page", [b"\x55" * _PAGE, bytes(_PAGE)], ids=["garbage", "zeros"])
    async def test_of_any_page_in_the_middle(self, opens: Opens, path: Path, page: bytes) -> None:
        await used(opens, path)
        whole = path.read_bytes()
        for start in range(_PAGE, len(whole), _PAGE):
            path.write_bytes(whole[:start] + page + whole[start + _PAGE :])
            await refused(opens, path, "it is damaged|it is not a ledger")
        path.write_bytes(whole)
        await goes_on(opens, path)

    @pytest.mark.fault("ledger", "a damaged page under a command beside the service")
    async def test_that_a_command_beside_the_service_meets(self, opens: Opens, path: Path) -> None:
        await used(opens, path)
        whole = path.read_bytes()
        path.write_bytes(whole[: 2 * _PAGE] + b"\x55" * (len(whole) - 2 * _PAGE))
        with pytest.raises(LedgerError, match="it is damaged") as error:
            await open_beside(str(path), source="letta", destination="otlp", now=NOW)
        assert "\n" not in str(error.value)
        path.write_bytes(whole)
        await goes_on(opens, path)

    @pytest.mark.fault("ledger", "its -wal left behind")
    @pytest.mark.parametrize("left", [None, b""], ids=["moved", "emptied"])
    async def test_a_log_without_its_ledger_is_not_thrown_away(
        self, opens: Opens, path: Path, left: bytes | None
    ) -> None:
        await killed_after_a_commit(path)
        whole = path.read_bytes()
        path.unlink()
        if left is not None:
            path.write_bytes(left)
        await refused(opens, path, "bridge.ledger-wal holds commits of a ledger that is not there: put that one back")
        path.write_bytes(whole)
        await goes_on(opens, path)

    async def damaged(self, opens: Opens, path: Path, damage: Callable[[bytes], bytes]) -> None:
        await used(opens, path)
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        content = path.read_bytes()
        await refused(opens, path, "it is damaged|it is not a ledger|another program")
        assert path.read_bytes() == content
        path.write_bytes(whole)
        await goes_on(opens, path)


class TestMoved:
    """What is done to the file of a running service from outside."""

    async def stopped(self, ledger: Ledger, name: str) -> None:
        for _ in range(2):
            with pytest.raises(
                LedgerError, match=f"{name} was moved, removed or replaced while it was in use"
            ) as error:
                await ledger.commit(batch(plan=counted(100)))
            assert "\n" not in str(error.value)
        await ledger.close()

    @pytest.mark.fault("ledger", "moved away while in use")
    async def test_a_file_that_was_moved_is_whole_and_can_be_put_back(self, opens: Opens, path: Path) -> None:
        ledger = await opens(path)
        await ledger.commit(batch(plan=counted(1)))
        away = path.rename(path.with_name("elsewhere"))
        await self.stopped(ledger, "bridge.ledger")
        assert not path.exists()
        await goes_on(opens, away)
        away.rename(path)
        await goes_on(opens, path, counted_so_far=2)

    @pytest.mark.fault("ledger", "replaced while in use")
    async def test_a_file_that_was_replaced_harms_neither(self, opens: Opens, path: Path) -> None:
        await used(opens, path)
        copy = Path(shutil.copy(path, path.with_name("copy")))
        ledger = await opens(path)
        await ledger.commit(batch(plan=counted(1)))
        away = path.rename(path.with_name("elsewhere"))
        copy.rename(path)
        await self.stopped(ledger, "bridge.ledger")
        await goes_on(opens, path)
        await goes_on(opens, away, counted_so_far=2)

    @pytest.mark.fault("ledger", "removed while in use")
    async def test_a_file_that_was_removed_is_not_written_in_vain(self, opens: Opens, path: Path) -> None:
        await used(opens, path)
        ledger = await opens(path)
        path.unlink()
        await self.stopped(ledger, "bridge.ledger")
        assert not path.exists()

    @pytest.mark.fault("ledger", "its lock removed while in use")
    async def test_without_its_lock_nobody_writes_beside_the_next_one(self, opens: Opens, path: Path) -> None:
        await used(opens, path)
        first = await opens(path)
        path.with_name("bridge.ledger-lock").unlink()
        second = await opens(path)
        await self.stopped(first, "bridge.ledger-lock")
        await second.close()
        await goes_on(opens, path)

    async def test_a_command_beside_notices_too(self, opens: Opens, path: Path) -> None:
        await used(opens, path)
        file = LedgerFile(path, role=Role.BESIDE)
        path.rename(path.with_name("elsewhere"))
        with closing(file), pytest.raises(LedgerError, match="was moved"), file.writing():
            pass


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs a mount of its own")
class TestDisk:
    """A real small disk, in a mount that only the script sees."""

    @pytest.mark.fault("ledger", "a full disk")
    def test_that_is_full(self, tmp_path: Path) -> None:
        self.run(tmp_path, "full")

    @pytest.mark.fault("ledger", "a full disk at the start")
    def test_that_is_full_from_the_start(self, tmp_path: Path) -> None:
        self.run(tmp_path, "full_at_start")

    @pytest.mark.fault("ledger", "no room for a backup")
    def test_that_is_full_for_a_backup(self, tmp_path: Path) -> None:
        folder = tmp_path / "small"
        folder.mkdir()
        self.run(folder, "full_for_a_backup")

    @pytest.mark.fault("ledger", "a read-only disk")
    def test_that_is_read_only(self, tmp_path: Path) -> None:
        self.run(tmp_path, "read_only")

    def run(self, folder: Path, scenario: str) -> None:
        if subprocess.run(
            ["unshare", "--map-root-user", "--mount", "true"], check=False, capture_output=True
        ).returncode:
            pytest.skip("this machine allows no mount of one's own")
        script = Path(__file__).with_name("small_disk.py")
        command = ["unshare", "--map-root-user", "--mount", sys.executable, str(script), str(folder), scenario]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.fault("ledger", "a limit on the size of files")
def test_a_limit_on_the_size_of_files(tmp_path: Path) -> None:
    script = Path(__file__).with_name("small_disk.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path, "size_limit"], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
