"""The bridge's log: one line an event on stderr, `key=value` or JSON, with the time in UTC.

What libraries log through `logging` takes the same way out, the talkative ones from WARNING up. The secrets handed
to `configure` are masked in the finished line, so that no exception, address or nested value can carry one past.
uvicorn must be started with `log_config=None`, or it brings handlers of its own.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Literal, TextIO, cast
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

_TALKATIVE = ("apscheduler", "grpc", "httpcore", "httpx", "opentelemetry", "tzlocal", "uvicorn")
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}  # a terminal obeys what a server made us log
_MASK = "***"
_logfmt = structlog.processors.LogfmtRenderer(
    key_order=["timestamp", "level", "logger", "event"], drop_missing=True, bool_as_flag=False
)


def get_logger(name: str) -> FilteringBoundLogger:
    """The logger of the module called `name`; `configure` may come later."""
    return cast("FilteringBoundLogger", structlog.stdlib.get_logger(name))


def configure(
    *,
    level: str = "info",
    form: Literal["text", "json"] = "text",
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send every log line to `stream`, stderr by default; a second call replaces what the first one set up.

    Args:
        level: the least important lines to show: debug, info, warning or error.
        form: `text` for key=value, `json` for one object a line.
        secrets: values that are never shown; see `bridge.settings.secret_values`.
        stream: where to write.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_common(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        cache_logger_on_first_use=False,
    )
    _replace_handler(_handler(form, secrets, stream or sys.stderr))
    logging.getLogger().setLevel(threshold)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def _common() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def _handler(form: Literal["text", "json"], secrets: Iterable[str], stream: TextIO) -> logging.Handler:
    render = structlog.processors.JSONRenderer() if form == "json" else _text
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, render, _masking(secrets)]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_common(), processors=last))
    return handler


def _replace_handler(handler: logging.Handler) -> None:
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each.formatter, structlog.stdlib.ProcessorFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)


def _text(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return _logfmt(logger, method, event).translate(_CONTROL)


def _masking(secrets: Iterable[str]) -> Processor:
    forms = sorted({form for secret in secrets if secret for form in _forms(secret)}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, forms)) or r"(?!)")

    def mask(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
        return pattern.sub(_MASK, cast("str", line))

    return mask


def _forms(secret: str) -> Iterator[str]:
    """How `secret` can stand in a line: as it is, in a repr, in an address, and each of these escaped in quotes."""
    for form in (secret, repr(secret)[1:-1], quote(secret), quote(secret, safe="")):
        yield from (form, json.dumps(form)[1:-1])
