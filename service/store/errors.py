"""The errors of the store, under one base class.

    StoreError
    ├── SchemaError               the database has another schema than this version needs
    ├── UnavailableError          it cannot be reached, written, locked in time, or is full; trying again may help
    ├── NotFoundError             no such job, record, key, webhook, baseline, schedule, run or alert
    ├── LostLeaseError            the job was taken over, finished or released: its former owner must stop
    ├── KeyRefusedError           an API key or a session that lets nobody in
    ├── UnfitJobError             the job cannot be a baseline as it is
    ├── InUseError                a baseline or a schedule needs the job, which must stay as it is
    ├── ConflictError             something that is there, or under way, does not allow it
    ├── QueueFullError            who submits has as many queued jobs as one may have
    ├── IdempotencyConflictError  the key was used before with another body
    └── InvalidValueError         a value that no database could keep faithfully

What a state does not allow is `service.states.IllegalTransitionError`, which is no fault of the store.
"""


class StoreError(Exception):
    """Base of every error that the store raises on purpose."""


class SchemaError(StoreError):
    """The database has another schema than this version needs; the message names the command that helps."""


class UnavailableError(StoreError):
    """The database cannot be reached, read or written now."""


class NotFoundError(StoreError):
    """There is no such job, record, key, webhook, baseline, schedule, run or alert."""


class UnfitJobError(StoreError):
    """The job cannot be a baseline as it is: it has not ended well, lacks cells, or was not made in one way."""


class InUseError(StoreError):
    """A baseline names the job, or a schedule compares with it: it must neither change nor go."""


class LostLeaseError(StoreError):
    """The caller no longer owns the job: nothing was written, and it must stop."""


class KeyRefusedError(StoreError):
    """An API key or a session is unknown, revoked or expired."""


class ConflictError(StoreError):
    """Something that is there, or under way, does not allow it; the message says what, and what would help."""


class QueueFullError(StoreError):
    """Who submits has as many queued jobs as one may have; trying again later may help."""


class IdempotencyConflictError(StoreError):
    """The idempotency key was used before with another body."""


class InvalidValueError(StoreError, ValueError):
    """A value cannot be kept faithfully: NUL in a text, NaN in a document, an integer of more than 63 bits."""
