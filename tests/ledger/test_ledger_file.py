"""The ledger's file: its mode, its one user, and what a person is told when it fails."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from ledger_samples import Opens, batch, counted, followed

from bridge.errors import LedgerError, SettingsError


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

    async def test_a_person_may_look_into_it_meanwhile(self, opens: Opens, path: Path) -> None:
        await (await opens(path)).discover([followed("run-1")], now=0)
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            assert reader.execute("SELECT id FROM run").fetchall() == [("run-1",)]


class TestSize:
    async def test_counts_what_lies_beside_the_file(self, opens: Opens, path: Path) -> None:
        ledger = await opens(path)
        await ledger.discover([followed("run-1")], now=0)
        assert await ledger.size_bytes() == sum(file.stat().st_size for file in path.parent.iterdir())
        assert path.with_name("bridge.ledger-wal").stat().st_size > 0
