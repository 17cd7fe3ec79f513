"""Schedules: when a benchmark is due again, and what is run then."""

from service.schedules.cron import Cron

__all__ = ["Cron"]
