"""The results store and the queue: the only place that knows SQLAlchemy and Alembic."""

from typing import TYPE_CHECKING

from optimizers.lazy import lazy_door

if TYPE_CHECKING:
    from service.states import IllegalTransitionError
    from service.store.alert_entities import Alert, EndedRun, Judgement
    from service.store.copying import backup, restore
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
        RecordFilter,
        Space,
        Standing,
        StoredRecord,
        TrainedPack,
        WantedCell,
    )
    from service.store.errors import (
        ConflictError,
        IdempotencyConflictError,
        InUseError,
        InvalidValueError,
        KeyRefusedError,
        LostLeaseError,
        NotFoundError,
        QueueFullError,
        SchemaError,
        StoreError,
        UnavailableError,
        UnfitJobError,
    )
    from service.store.in_flight import InFlight
    from service.store.listing import JobOrder, JobPosition, JobQuery, ListedJob
    from service.store.migrate import check, downgrade, upgrade
    from service.store.regression_entities import AlertState, Baseline, Replay, RunState
    from service.store.schedule_entities import (
        BaselinePolicy,
        NewSchedule,
        PolicyKind,
        Schedule,
        ScheduledRun,
        Thresholds,
    )
    from service.store.store import Store
    from service.store.webhook_entities import (
        Delivery,
        DeliveryAttempt,
        DeliveryState,
        DueDelivery,
        NewWebhook,
        Webhook,
    )
else:
    __getattr__, __dir__ = lazy_door(__name__, __file__)

__all__ = [
    "Alert",
    "AlertState",
    "ApiKey",
    "Baseline",
    "BaselinePolicy",
    "ConflictError",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryState",
    "Dispatcher",
    "DueDelivery",
    "EndedRun",
    "IdempotencyConflictError",
    "IllegalTransitionError",
    "InFlight",
    "InUseError",
    "InvalidValueError",
    "Job",
    "JobOrder",
    "JobPosition",
    "JobQuery",
    "Judgement",
    "KeyRefusedError",
    "ListedJob",
    "LostLeaseError",
    "NewJob",
    "NewSchedule",
    "NewWebhook",
    "NotFoundError",
    "Ownership",
    "PlacedRecord",
    "PolicyKind",
    "Progress",
    "Prunable",
    "PrunableJob",
    "QueueFullError",
    "RecordFilter",
    "Replay",
    "RunState",
    "Schedule",
    "ScheduledRun",
    "SchemaError",
    "Space",
    "Standing",
    "Store",
    "StoreError",
    "StoredRecord",
    "Thresholds",
    "TrainedPack",
    "UnavailableError",
    "UnfitJobError",
    "WantedCell",
    "Webhook",
    "backup",
    "check",
    "complete_url",
    "downgrade",
    "restore",
    "upgrade",
]
