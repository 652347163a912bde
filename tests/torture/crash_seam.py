"""Where a process can be killed, as numbered points, and what is left on the disk when it is.

A point is each resumption of one of the process's coroutines (so each await that really waits), each statement before
SQLite runs it, each COMMIT while its pages are half written and again right after it, and each request to the backend
before it is taken and after the yes that the process never hears. What is not one of these changes nothing outside
of the process. The same world numbers its points the same way each time.

At the point to die at, the ledger's files are copied as they lie there, and `Killed` goes up. From then on every
resumption, statement and request raises it too: a dead process does nothing more. The next one gets the copy.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from unittest import mock

_TRAIL = 5  # points that a report shows
_of_the_process: ContextVar[bool] = ContextVar("of_the_process", default=False)
_connect: Callable[..., sqlite3.Connection] = sqlite3.connect


class Killed(BaseException):
    """What kill -9 is to a process: nothing handles it."""


class Seam:
    """Counts the points of one process, and kills it at one.

    Attributes:
        points: how many there were so far.
        dead: whether the process was killed.
        trail: the names of the last points, the latest last.
    """

    def __init__(self, folder: Path, grave: Path) -> None:
        """The process's ledger lies in `folder`; what a kill leaves of it goes to `grave`, which is not there yet."""
        self._folder = folder
        self._grave = grave
        self._left: int | None = None
        self._at = ""
        self._tasks: set[asyncio.Task[Any]] = set()
        self.points = 0
        self.dead = False
        self.trail: deque[str] = deque(maxlen=_TRAIL)

    def point(self, where: str, *, torn_from: int | None = None) -> None:
        """One point; raises Killed where the process dies there, or is dead.

        Args:
            where: what happens there, for the report.
            torn_from: of the write-ahead log, how many bytes were safe: the copy ends half-way behind them.
        """
        if not self.dead:
            self.points += 1
            self.trail.append(where)
            if self._left is not None and where.startswith(self._at):
                self._left -= 1
            self.dead = self._left == 0
            if self.dead:
                self._bury(torn_from)
        if self.dead:
            raise Killed(where)

    async def run(
        self, life: Callable[[], Coroutine[Any, Any, Any]], *, kill_in: int | None = None, at: str = ""
    ) -> None:
        """A part of the process's life, to its end or its death; raises only what else than Killed it died of.

        Args:
            life: what it does; nothing of it goes on when this returns.
            kill_in: it is killed at this point, the first one is 1; None leaves it alone.
            at: count only the points whose names begin with this.
        """
        self._left, self._at = kill_in, at
        loop = asyncio.get_running_loop()
        usual = loop.get_task_factory()
        loop.set_task_factory(self._task)
        loop.set_exception_handler(self._unhandled)
        token = _of_the_process.set(True)
        try:
            with mock.patch("sqlite3.connect", self._connect):
                await asyncio.create_task(life())
        except BaseException as error:
            if not self.dead or _other_than_killed(error):
                raise
        finally:
            _of_the_process.reset(token)
            loop.set_task_factory(usual)
            await self._all_ended()
            loop.set_exception_handler(None)

    async def elsewhere(self, work: Awaitable[None]) -> None:
        """Await something that another machine does: none of its own steps is a point."""
        token = _of_the_process.set(False)
        try:
            task = asyncio.ensure_future(work)
        finally:
            _of_the_process.reset(token)
        await task

    async def _all_ended(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A dead process's tasks outlive those that wait for them; nobody has to hear of it."""
        if not isinstance(context.get("exception"), Killed):
            loop.default_exception_handler(context)

    def _bury(self, torn_from: int | None) -> None:
        self._grave.mkdir()
        for file in self._folder.iterdir():
            if not file.name.endswith("-lock"):
                shutil.copyfile(file, self._grave / file.name)
        if torn_from is not None:
            (log,) = self._grave.glob("*-wal")
            with log.open("rb+") as torn:
                torn.truncate((torn_from + log.stat().st_size) // 2)

    def _task(self, loop: asyncio.AbstractEventLoop, coro: Any, **given: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(_Counted(coro, self) if _of_the_process.get() else coro, loop=loop, **given)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at here: nobody else asks a dead process's tasks

    def _connect(self, database: Any, *args: Any, **given: Any) -> sqlite3.Connection:
        if not _of_the_process.get():
            return _connect(database, *args, **given)
        connection = _connect(database, *args, **given, factory=_CountedConnection)
        assert isinstance(connection, _CountedConnection)
        (_, _, file), *_ = sqlite3.Connection.execute(connection, "PRAGMA database_list")
        connection.seam, connection.log = self, Path(f"{file}-wal")
        return connection


class _Counted(Coroutine[Any, Any, Any]):
    """A coroutine of the process. Dead, it is unwound once, and what it does then reaches nothing outside."""

    def __init__(self, coro: Coroutine[Any, Any, Any], seam: Seam) -> None:
        self._coro = coro
        self._seam = seam
        self._struck = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coro, name)

    def __await__(self) -> Any:
        raise NotImplementedError  # a task sends and throws

    def send(self, value: Any) -> Any:
        if killed := self._killed():
            return self._coro.throw(killed)
        return self._coro.send(value)

    def throw(self, error: Any, *rest: Any) -> Any:
        if killed := self._killed():
            return self._coro.throw(killed)
        return self._coro.throw(error, *rest)

    def close(self) -> None:
        self._coro.close()

    def _killed(self) -> Killed | None:
        if self._struck:
            return None
        try:
            self._seam.point(f"{self.__qualname__} goes on")
        except Killed as killed:
            self._struck = True
            return killed
        return None


class _CountedConnection(sqlite3.Connection):
    seam: Seam
    log: Path

    def execute(self, statement: str, *rest: Any) -> sqlite3.Cursor:
        self.seam.point(f"before {_short(statement)}")
        with self._committing(statement):
            return super().execute(statement, *rest)

    def executemany(self, statement: str, *rest: Any) -> sqlite3.Cursor:
        self.seam.point(f"before {_short(statement)}")
        return super().executemany(statement, *rest)

    def executescript(self, script: str) -> sqlite3.Cursor:
        self.seam.point(f"before the script {_short(script)}")
        with self._committing(script):
            return super().executescript(script)

    @contextlib.contextmanager
    def _committing(self, statement: str) -> Iterator[None]:
        before = _size(self.log)
        yield
        if "COMMIT" in statement:
            if _size(self.log) > before > 0:
                self.seam.point("within COMMIT", torn_from=before)
            self.seam.point("after COMMIT")


def _short(statement: str) -> str:
    return " ".join(statement.split()[:3])


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _other_than_killed(error: BaseException) -> bool:
    """Whether there is anything but deaths in it."""
    if isinstance(error, BaseExceptionGroup):
        return any(_other_than_killed(inner) for inner in error.exceptions)
    return not isinstance(error, Killed)
