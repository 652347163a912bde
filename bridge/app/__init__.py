"""The composition root: the one package that knows every concrete class."""

from bridge.app.backfill import assemble_backfill, open_backfill
from bridge.app.parts import access, backend, endpoint, ledger_beside, map_options, stream_ledger
from bridge.app.service import assemble, once, open_service, run

__all__ = [
    "access",
    "assemble",
    "assemble_backfill",
    "backend",
    "endpoint",
    "ledger_beside",
    "map_options",
    "once",
    "open_backfill",
    "open_service",
    "run",
    "stream_ledger",
]
