"""The composition root: the one package that knows every concrete class.

`bridge.app.backfill` is imported by whoever backfills: the service has no need of it.
"""

from bridge.app.parts import access, backend, endpoint, ledger_beside, map_options, masking, stream_ledger
from bridge.app.service import assemble, collect_rarely, once, open_service, run

__all__ = [
    "access",
    "assemble",
    "backend",
    "collect_rarely",
    "endpoint",
    "ledger_beside",
    "map_options",
    "masking",
    "once",
    "open_service",
    "run",
    "stream_ledger",
]
