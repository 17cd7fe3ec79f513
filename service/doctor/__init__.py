"""The check-up of a machine, its store and its server: what is well, what is not, and what to do about it."""

from service.doctor.examining import examine
from service.doctor.findings import Finding, Verdict

__all__ = ["Finding", "Verdict", "examine"]
