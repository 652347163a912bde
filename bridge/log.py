"""The bridge's log: one line an event on stderr, `key=value` or JSON, with the time in UTC.

What libraries log through `logging` takes the same way out, the talkative ones from WARNING up. The secrets handed
to `configure` are masked in the finished line, so that no exception, address or nested value can carry one past.
uvicorn must be started with `log_config=None`, or it brings handlers of its own.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from bridge.masking import masker

_TALKATIVE = ("apscheduler", "grpc", "httpcore", "httpx", "opentelemetry", "tzlocal", "uvicorn")
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}  # a terminal obeys what a server made us log
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
    masked = masker(secrets)

    def mask(_logger: WrappedLogger, _method: str, line: EventDict) -> str:
        return masked(cast("str", line))

    return mask
