import json
import logging
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from service.telemetry import noted, set_up_logging
from service.telemetry.messages import JsonFormatter, TextFormatter
from tests.service.processes import environment

KEY = "rhb_abc123_" + "S3cr3t-" * 6
PASSWORD = "a-password-of-nothing"  # noqa: S105  (of nothing)
FORGED = "2026-01-01T00:00:00.000Z ERROR rhobust: forged"


def settings(**values: Any) -> Settings:
    return Settings(**values)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def record(message: str, *arguments: object, **extra: Any) -> logging.LogRecord:
    return logging.getLogger("rhobust.test").makeRecord(
        "rhobust.test", logging.INFO, __file__, 1, message, arguments, None, extra=extra
    )


def test_a_json_line_has_time_level_logger_message_and_what_is_being_done(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(settings(log_format="json"), notes={"attempt": 2})
    with noted(request_id="r-1"), noted(job_id="j1"):
        logging.getLogger("rhobust.test").info("%d cells", 3, extra={"notes": {"rate": float("nan"), "level": "none"}})
    logging.getLogger("rhobust.test").info("later")
    first, second = lines(capsys)
    assert datetime.fromisoformat(first.pop("time")).utcoffset().total_seconds() == 0  # type: ignore[union-attr]
    assert first == {
        "level": "INFO",
        "logger": "rhobust.test",
        "message": "3 cells",
        "attempt": 2,
        "request_id": "r-1",
        "job_id": "j1",
        "rate": None,
    }
    assert list(second) == ["time", "level", "logger", "message", "attempt"]


def test_a_text_line_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(settings())
    with noted(request_id="r-1", other="not shown"):
        logging.getLogger("rhobust.test").warning("three cells")
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"{time} WARNING rhobust\.test: three cells \[request_id=r-1\]\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "forgery", [f"x\n{FORGED}", f"x\r\n{FORGED}", f"x\x85{FORGED}", f"x\x1b[2K\r{FORGED}", f"x\x0b{FORGED}"]
)
@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_no_text_in_a_message_forges_a_line(formatter: logging.Formatter, forgery: str) -> None:
    text = formatter.format(record("path %s", forgery))
    assert not any(line.startswith("2026-01-01") for line in text.splitlines())
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    if isinstance(formatter, JsonFormatter):
        assert json.loads(text)["message"] == f"path {forgery}"
        assert "\n" not in text


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_comes_through_in_message_note_or_exception(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    set_up_logging(
        settings(log_format=log_format, database_url=f"postgresql://u:{PASSWORD}@h/d"), secrets=["0ther-secret"]
    )
    logger = logging.getLogger("rhobust.test")
    try:
        raise ValueError(f"cannot log in with {PASSWORD}, {KEY}")
    except ValueError:
        logger.exception("0ther-secret %s", KEY, extra={"notes": {"path": f"/x?api_key={KEY}", "principal": KEY}})
    written = capsys.readouterr().err
    assert "ValueError: cannot log in with ***, rhb_abc123_***" in written
    for secret in (PASSWORD, KEY, "0ther-secret", "S3cr3t"):
        assert secret not in written


def test_an_exception_is_a_field_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(settings(log_format="json"))
    try:
        raise ValueError(f"first\n{FORGED}")
    except ValueError:
        logging.getLogger("rhobust.test").exception("it failed")
    (line,) = lines(capsys)
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert f"ValueError: first\n{FORGED}" in line["exception"]


def test_libraries_speak_in_the_same_form_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(settings(log_format="json"))
    for name in ("uvicorn.error", "alembic.runtime.migration"):
        logging.getLogger(name).info("small talk")
        logging.getLogger(name).warning("a warning of %s", name)
    assert [(line["logger"], line["level"]) for line in lines(capsys)] == [
        ("uvicorn.error", "WARNING"),
        ("alembic.runtime.migration", "WARNING"),
    ]


@pytest.mark.parametrize(
    ("level", "ours", "theirs"), [("DEBUG", 10, 20), ("INFO", 20, 30), ("WARNING", 30, 30), ("ERROR", 40, 40)]
)
def test_the_level_is_of_our_messages_and_libraries_say_less(
    capsys: pytest.CaptureFixture[str], level: str, ours: int, theirs: int
) -> None:
    set_up_logging(settings(log_level=level))
    assert logging.getLogger("rhobust.test").getEffectiveLevel() == ours
    assert logging.getLogger("uvicorn").getEffectiveLevel() == theirs


def test_a_second_set_up_takes_the_place_of_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(settings())
    set_up_logging(settings(log_format="json"))
    logging.getLogger("rhobust.test").warning("once")
    assert [line["message"] for line in lines(capsys)] == ["once"]


@pytest.mark.slow
def test_what_nobody_catches_is_a_message_too(tmp_path: Path) -> None:
    program = """
import threading, warnings
from service.settings import Settings
from service.telemetry import set_up_logging
set_up_logging(Settings())
warnings.warn("old")
thread = threading.Thread(target=lambda: 1 / 0, name="a thread")
thread.start()
thread.join()
raise RuntimeError("boom")
"""
    command = [sys.executable, "-c", program]
    env = environment(tmp_path, RHOBUST_LOG_FORMAT="json")
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    warned, in_thread, at_the_end = (json.loads(text) for text in done.stderr.splitlines())
    assert (warned["logger"], warned["level"]) == ("py.warnings", "WARNING")
    assert "UserWarning: old" in warned["message"]
    assert in_thread["message"] == "a thread ends: nobody caught ZeroDivisionError"
    assert "ZeroDivisionError: division by zero" in in_thread["exception"]
    assert at_the_end["message"] == "the process ends: nobody caught RuntimeError"
    assert at_the_end["exception"].endswith("RuntimeError: boom")
