"""The Python client: the REST API as objects, with retries, errors for people, and pandas out."""

from service.client.client import Client
from service.client.errors import ClientError, ProblemError, ServerUnreachableError, WaitTimeoutError
from service.client.job import Job

__all__ = ["Client", "ClientError", "Job", "ProblemError", "ServerUnreachableError", "WaitTimeoutError"]
