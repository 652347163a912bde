"""What a log line looks like, and what never stands in one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from urllib.parse import quote

import pytest
import structlog
import time_machine

from bridge import log

SECRET = 'sk "quoted" \\ and/more'


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@time_machine.travel("2026-01-31T08:00:00Z", tick=False)
def test_a_line_of_text(stream: io.StringIO) -> None:
    log.configure(stream=stream)
    log.get_logger("bridge.sweep").info("sweep done", runs=3, late=True, error=None, agent="a b")
    assert stream.getvalue() == (
        "timestamp=2026-01-31T08:00:00Z level=info logger=bridge.sweep "
        'event="sweep done" runs=3 late=true error= agent="a b"\n'
    )


@time_machine.travel("2026-01-31T08:00:00Z", tick=False)
def test_a_line_of_json(stream: io.StringIO) -> None:
    log.configure(form="json", stream=stream)
    log.get_logger("bridge.sweep").warning("late", runs=3)
    assert json.loads(stream.getvalue()) == {
        "timestamp": "2026-01-31T08:00:00Z",
        "level": "warning",
        "logger": "bridge.sweep",
        "event": "late",
        "runs": 3,
    }


def test_by_default_lines_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure()
    log.get_logger("bridge").info("here")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("event=here\n")


def test_lines_below_the_level_are_left_out(stream: io.StringIO) -> None:
    log.configure(level="warning", stream=stream)
    log.get_logger("bridge").info("quiet")
    logging.getLogger("library").info("quiet")
    log.get_logger("bridge").warning("loud")
    assert [line.split("event=")[1] for line in stream.getvalue().splitlines()] == ["loud"]


@pytest.mark.parametrize(
    "name", ["apscheduler.scheduler", "uvicorn.error", "uvicorn.access", "httpx", "httpcore.http11"]
)
def test_libraries_take_the_same_way_from_warning_up(
    name: str, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(name), "propagate", True)  # a server that ran before has silenced its own
    monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
    log.configure(level="debug", stream=stream)
    logging.getLogger(name).info("talk")
    logging.getLogger(name).warning("%s runs", 2)
    assert stream.getvalue().endswith(f'level=warning logger={name} event="2 runs"\n')
    assert "talk" not in stream.getvalue()


def test_a_second_call_replaces_the_first(stream: io.StringIO) -> None:
    before = io.StringIO()
    log.configure(stream=before)
    logger = log.get_logger("bridge")
    log.configure(level="debug", stream=stream)
    logger.debug("once")
    assert before.getvalue() == ""
    assert stream.getvalue().count("once") == 1


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_stays_on_one_line(form: str, stream: io.StringIO) -> None:
    log.configure(form="json" if form == "json" else "text", stream=stream)
    try:
        dict[str, str]()["not there"]
    except LookupError:
        log.get_logger("bridge").exception("failed")
        logging.getLogger("library").exception("failed too")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert all("KeyError: 'not there'" in line for line in lines)


def test_control_characters_do_not_reach_the_terminal(stream: io.StringIO) -> None:
    log.configure(stream=stream)
    log.get_logger("bridge").info("seen", text="\x1b[2J\rtimestamp")
    assert stream.getvalue().endswith("text=\\x1b[2J\\x0dtimestamp\n")


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_secret_is_masked_wherever_it_appears(form: str, stream: io.StringIO) -> None:
    log.configure(form="json" if form == "json" else "text", secrets=[SECRET, "", "sk "], stream=stream)
    logger = log.get_logger("bridge")
    event = f"key {SECRET}"
    logger.info(event, header=SECRET, nested={"headers": [SECRET]}, raw=SECRET.encode())
    logger.info("url", url=f"http://host/?key={quote(SECRET)}", other=quote(SECRET, safe=""))
    logging.getLogger("library").warning("sent %s", {"authorization": f"Bearer {SECRET}"})
    try:
        dict[str, str]()[SECRET]
    except KeyError:
        logger.exception("failed")
        logging.getLogger("library").exception("failed")
    written = stream.getvalue()
    assert "quoted" not in written
    assert "more" not in written
    assert written.count("***") == 9
    assert len(written.splitlines()) == 5


def test_without_secrets_nothing_is_masked(stream: io.StringIO) -> None:
    log.configure(stream=stream)
    log.get_logger("bridge").info("plain")
    assert "***" not in stream.getvalue()
