"""What a check found."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check.

    Attributes:
        check: its name.
        message: what was found.
        remedy: what to do; None where nothing is to be done.
    """

    check: str
    verdict: Verdict
    message: str
    remedy: str | None = None


def ok(check: str, message: str) -> Finding:
    """Return the finding of a check that found nothing wrong."""
    return Finding(check, Verdict.OK, message)


def warning(check: str, message: str, remedy: str) -> Finding:
    """Return the finding of something that should be seen to."""
    return Finding(check, Verdict.WARNING, message, remedy)


def problem(check: str, message: str, remedy: str) -> Finding:
    """Return the finding of something without which Rhobust does not work."""
    return Finding(check, Verdict.PROBLEM, message, remedy)
