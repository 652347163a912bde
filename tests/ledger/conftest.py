"""A ledger of each kind, and what it takes to open it again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ledger_samples import NOW, Opener, Opens, Reopen

from bridge.ledger.ledger import Ledger
from bridge.ledger.open import open_ledger

LEDGERS = {"sqlite": lambda folder: f"sqlite:///{folder}/bridge.ledger"}


@pytest.fixture(params=LEDGERS)
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return LEDGERS[request.param](tmp_path)


@pytest.fixture
async def opener(location: str) -> AsyncIterator[Opener]:
    opened: list[Ledger] = []

    async def opens(*, source: str = "letta", destination: str = "otlp", now: float = NOW) -> Ledger:
        if opened:
            await opened[-1].close()
        opened.append(await open_ledger(location, source=source, destination=destination, now=now))
        return opened[-1]

    yield opens
    for ledger in opened:
        await ledger.close()


@pytest.fixture
async def ledger(opener: Opener) -> Ledger:
    return await opener()


@pytest.fixture
def reopen(opener: Opener, ledger: Ledger) -> Reopen:
    """Everything is asserted after a restart: what counts is what was written."""
    return opener


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bridge.ledger"


@pytest.fixture
async def opens() -> AsyncIterator[Opens]:
    """Opens the ledger at a location; several may be open at a time."""
    opened: list[Ledger] = []

    async def opens(location: object) -> Ledger:
        opened.append(await open_ledger(str(location), source="letta", destination="otlp", now=NOW))
        return opened[-1]

    yield opens
    for ledger in opened:
        await ledger.close()
