"""What every process says of itself: its messages, in one form for all roles, and without secrets."""

from service.telemetry.redaction import redact

__all__ = ["redact"]
