"""The results store and the queue: the only place that knows SQLAlchemy and Alembic."""

from service.states import IllegalTransitionError
from service.store.backup import backup, restore
from service.store.database import complete_url
from service.store.entities import (
    ApiKey,
    Dispatcher,
    Job,
    NewJob,
    Ownership,
    PlacedRecord,
    Progress,
    Prunable,
    PrunableJob,
    Space,
    StoredRecord,
    WantedCell,
)
from service.store.errors import (
    IdempotencyConflictError,
    InvalidValueError,
    KeyRefusedError,
    LostLeaseError,
    NotFoundError,
    QueueFullError,
    SchemaError,
    StoreError,
    UnavailableError,
)
from service.store.listing import JobOrder, JobPosition, JobQuery, ListedJob
from service.store.migrate import check, downgrade, upgrade
from service.store.store import Store
from service.store.webhook_entities import Delivery, DeliveryAttempt, DeliveryState, DueDelivery, NewWebhook, Webhook

__all__ = [
    "ApiKey",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryState",
    "Dispatcher",
    "DueDelivery",
    "IdempotencyConflictError",
    "IllegalTransitionError",
    "InvalidValueError",
    "Job",
    "JobOrder",
    "JobPosition",
    "JobQuery",
    "KeyRefusedError",
    "ListedJob",
    "LostLeaseError",
    "NewJob",
    "NewWebhook",
    "NotFoundError",
    "Ownership",
    "PlacedRecord",
    "Progress",
    "Prunable",
    "PrunableJob",
    "QueueFullError",
    "SchemaError",
    "Space",
    "Store",
    "StoreError",
    "StoredRecord",
    "UnavailableError",
    "WantedCell",
    "Webhook",
    "backup",
    "check",
    "complete_url",
    "downgrade",
    "restore",
    "upgrade",
]
