"""Cron expressions in a time zone: pure functions of the time that is passed in.

Days and times are those of Debian's cron: 0 and 7 are Sunday, and where both a day of the month and a day of the week
are given without a star, either will do. On a change of clocks an expression that names its hours and minutes runs once
a day that it names, also where its time is skipped (then at the end of the gap) or comes twice (then at the first); one
with a star among them goes by the time that passes, so that every half hour stays every half hour.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
MAX_LENGTH = 200
MAX_COUNTED = 1_000  # of missed times; beyond, "many" says it all
FIELDS = "minute hour day-of-month month day-of-week"
NEVER_WITHIN = timedelta(days=366 * 8)  # a 29 February may be eight years away


class ScheduleError(Exception):
    """A schedule that cannot be: the message says what is wrong and what would do."""


@dataclass(frozen=True)
class Cron:
    """When something is due, again and again.

    Attributes:
        expression: five fields, or a nickname such as @daily.
        timezone: IANA name of the zone in which the fields are read.

    Raises:
        ScheduleError: for an expression or a zone that is none, and an expression that is never due.
    """

    expression: str
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        if len(self.expression) > MAX_LENGTH:
            raise ScheduleError(
                f"a cron expression has at most {MAX_LENGTH} characters, but got {len(self.expression)}."
            )
        fields = self._fields
        if len(fields.split()) != 5:
            raise ScheduleError(
                f"a cron expression has five fields ({FIELDS}) or is one of {', '.join(sorted(NICKNAMES))}, but got "
                f"{self.expression!r}."
            )
        start = datetime(2000, 1, 1, tzinfo=self._zone)
        try:
            first = next(CronSim(fields, start), None)
        except CronSimError as error:
            problem = str(error).removeprefix("Bad ")
            raise ScheduleError(
                f"the {problem} of the cron expression {self.expression!r} cannot be read; its fields are {FIELDS}."
            ) from error
        except StopIteration:
            first = None
        if first is None or first.astimezone(UTC) - start.astimezone(UTC) > NEVER_WITHIN:
            raise ScheduleError(f"the cron expression {self.expression!r} is never due: there is no such day.")

    @property
    def _fields(self) -> str:
        text = self.expression.strip()
        return NICKNAMES.get(text.lower(), text)

    @cached_property
    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ScheduleError(
                f"the time zone must be an IANA name such as Europe/Berlin or UTC, but got {self.timezone[:100]!r}."
            ) from error

    def next_due(self, after: datetime) -> datetime:
        """Return the first time that is due later than a time.

        Args:
            after: with a zone.

        Returns:
            In UTC.
        """
        return next(CronSim(self._fields, after.astimezone(self._zone))).astimezone(UTC)

    def missed(self, due: datetime, now: datetime) -> int:
        """Return how many times were due from one that was, with it, up to now; at most `MAX_COUNTED`.

        Args:
            due: a time that was due, with a zone.
            now: with a zone.
        """
        count, at = 0, due
        while at <= now and count < MAX_COUNTED:
            count, at = count + 1, self.next_due(at)
        return count


def moment(seconds: float) -> datetime:
    """Return a time in seconds since 1970, as a database's clock tells it, as a cron expression is asked about."""
    return datetime.fromtimestamp(seconds, UTC)
