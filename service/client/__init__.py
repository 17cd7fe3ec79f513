"""The Python client: the REST API as objects, with retries, errors for people, and pandas out."""

from service.client.alerts import Alert, Alerts
from service.client.answers import GridPlan, InFlight, JobRecord, Missing, MissingCell, Owner, Plan, Progress
from service.client.api_keys import ApiKey, ApiKeys
from service.client.baselines import Baseline, BaselineLimits, Baselines, Calibration, ReplayProblem
from service.client.client import Client
from service.client.errors import (
    ClientError,
    ConflictError,
    NotFoundError,
    ProblemError,
    RateLimitedError,
    ServerFaultError,
    ServerUnreachableError,
    UnauthorizedError,
    WaitTimeoutError,
)
from service.client.job import Job
from service.client.listing import Listing
from service.client.reruns import RepeatedRecord, RerunAnswer
from service.client.schedules import RunBaseline, Schedule, ScheduledRun, Schedules
from service.client.webhooks import Delivery, DeliveryAttempt, Webhook, Webhooks

__all__ = [
    "Alert",
    "Alerts",
    "ApiKey",
    "ApiKeys",
    "Baseline",
    "BaselineLimits",
    "Baselines",
    "Calibration",
    "Client",
    "ClientError",
    "ConflictError",
    "Delivery",
    "DeliveryAttempt",
    "GridPlan",
    "InFlight",
    "Job",
    "JobRecord",
    "Listing",
    "Missing",
    "MissingCell",
    "NotFoundError",
    "Owner",
    "Plan",
    "ProblemError",
    "Progress",
    "RateLimitedError",
    "RepeatedRecord",
    "ReplayProblem",
    "RerunAnswer",
    "RunBaseline",
    "Schedule",
    "ScheduledRun",
    "Schedules",
    "ServerFaultError",
    "ServerUnreachableError",
    "UnauthorizedError",
    "WaitTimeoutError",
    "Webhook",
    "Webhooks",
]
