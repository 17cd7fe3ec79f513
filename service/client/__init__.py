"""The Python client: the REST API as objects, with retries, errors for people, and pandas out."""

from service.client.answers import GridPlan, JobRecord, Missing, MissingCell, Owner, Plan, Progress
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
from service.client.webhooks import Delivery, DeliveryAttempt, Webhook, Webhooks

__all__ = [
    "Client",
    "ClientError",
    "ConflictError",
    "Delivery",
    "DeliveryAttempt",
    "GridPlan",
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
    "ServerFaultError",
    "ServerUnreachableError",
    "UnauthorizedError",
    "WaitTimeoutError",
    "Webhook",
    "Webhooks",
]
