"""The messages of a process: one set-up for every role, as text for people or as JSON lines, without secrets.

The standard library's logging does it with two small formatters: what we use writes its messages with it, so that a
second way of logging would only be translated into it.
"""

import json
import logging
import os
import sys
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from benchmark.canonical import finite_or_none
from service.logs import visible
from service.settings import Settings
from service.telemetry.notes import NO_NOTES, Note, current_notes
from service.telemetry.redaction import redact

HANDLER_NAME = "rhobust"
SHOWN_NOTES = ("request_id", "principal", "job_id", "attempt")  # what a line for people has of the notes
INDENT = "    "
logger = logging.getLogger("rhobust")


class Formatter(logging.Formatter):
    """What the forms of a message share.

    Args:
        secrets: what is masked wherever it stands.
        notes: that every message bears.
    """

    def __init__(self, secrets: Iterable[str] = (), notes: Mapping[str, Note] = NO_NOTES) -> None:
        super().__init__()
        self._secrets, self._notes = tuple(secrets), notes

    def notes(self, record: logging.LogRecord) -> dict[str, Note]:
        """Return the notes of the process, those that hold now, and the message's own, `extra={"notes": {...}}`."""
        return {**self._notes, **current_notes(), **record.__dict__.get("notes", NO_NOTES)}

    def fault(self, record: logging.LogRecord) -> str:
        """Return the exception that a message tells of; empty where there is none."""
        return self.formatException(record.exc_info) if record.exc_info else ""

    def redacted(self, text: str) -> str:
        """Return a text without its secrets."""
        return redact(text, self._secrets)


class TextFormatter(Formatter):
    """Writes a message for people. Its first line alone begins at the margin: no text in it can forge another."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a message."""
        notes = self.notes(record)
        shown = " ".join(f"{name}={notes[name]}" for name in SHOWN_NOTES if notes.get(name) is not None)
        text = f"{_time(record)} {record.levelname} {record.name}: {record.getMessage()}"
        text += f" [{shown}]" if shown else ""
        text += f"\n{fault}" if (fault := self.fault(record)) else ""
        return visible(self.redacted(text)).replace("\n", f"\n{INDENT}")


class JsonFormatter(Formatter):
    """Writes a message as one line of JSON, for programs."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a message."""
        values: dict[str, Note] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        values = {**values, **self.notes(record), **values}  # no note takes the place of what every line has
        values |= {"exception": fault} if (fault := self.fault(record)) else {}
        return json.dumps({name: self._plain(value) for name, value in values.items()}, allow_nan=False)

    def _plain(self, value: Note) -> Note:
        if isinstance(value, float):
            return finite_or_none(value)
        return self.redacted(value) if isinstance(value, str) else value


FORMATTERS: Mapping[Literal["text", "json"], type[Formatter]] = {
    "text": TextFormatter,
    "json": JsonFormatter,
}


def set_up_logging(
    settings: Settings,
    *,
    level: str | None = None,
    secrets: Collection[str] = (),
    notes: Mapping[str, Note] = NO_NOTES,
) -> None:
    """Send all messages of this process to standard error, in the form and from the level on that the settings say.

    Messages of libraries come from warnings on, or from INFO on where the level is DEBUG. Python's own warnings and
    errors that nobody catches are messages too.

    Args:
        settings: of this process; passwords in them are masked in every message.
        level: instead of the one in the settings.
        secrets: that this process knows besides those in its settings: passwords, and addresses that hold them.
        notes: that every message of this process bears, whichever thread it comes from.
    """
    level = level or settings.log_level
    handler = logging.StreamHandler(sys.stderr)
    handler.name = HANDLER_NAME
    known = {*secrets, *_secrets_of(settings), os.environ.get("PGPASSWORD", "")}
    known |= {password for secret in known for password in _passwords(secret)}
    # the longest first: an address goes whole, and not with a hole where its password was
    handler.setFormatter(FORMATTERS[settings.log_format](sorted(known, key=len, reverse=True), notes))
    root = logging.getLogger()
    for earlier in [one for one in root.handlers if one.name == HANDLER_NAME]:
        root.removeHandler(earlier)
    root.addHandler(handler)
    number = logging.getLevelNamesMapping()[level]
    root.setLevel(logging.INFO if number < logging.INFO else max(number, logging.WARNING))
    logger.setLevel(number)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _secrets_of(settings: Settings) -> Iterator[str]:
    for _, value in settings:
        if isinstance(value, SecretStr):
            yield value.get_secret_value()


def _passwords(secret: str) -> Iterator[str]:
    """Yield the passwords in a secret that is an address."""
    try:
        parts = urlsplit(secret)
    except ValueError:
        return
    if parts.password:
        yield parts.password
    yield from (value for name, value in parse_qsl(parts.query) if "password" in name)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("the process ends: nobody caught %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is None or issubclass(failed.exc_type, SystemExit):
        return
    name = failed.thread.name if failed.thread else "a thread"
    fault = (failed.exc_type, failed.exc_value, failed.exc_traceback)
    logger.critical("%s ends: nobody caught %s", name, failed.exc_type.__name__, exc_info=fault)
