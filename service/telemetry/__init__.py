"""What every process says of itself: its messages, in one form for all roles, and without secrets."""

from service.telemetry.messages import set_up_logging
from service.telemetry.notes import current_notes, noted
from service.telemetry.redaction import redact

__all__ = ["current_notes", "noted", "redact", "set_up_logging"]
