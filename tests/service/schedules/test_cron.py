"""Cron expressions over a year: month ends, leap days, changes of clocks, and what is no expression."""

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from service.schedules import Cron
from service.schedules.cron import MAX_COUNTED, ScheduleError


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dues(cron: Cron, start: datetime, end: datetime) -> Iterator[datetime]:
    due = cron.next_due(start)
    while due < end:
        yield due
        due = cron.next_due(due)


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
@pytest.mark.parametrize("time", ["0 0", "30 2", "15 1"])
def test_a_nightly_schedule_runs_once_every_local_day_of_a_leap_year(zone: str, time: str) -> None:
    """Whatever the clocks do: never skipped, never twice."""
    found = list(dues(Cron(f"{time} * * *", zone), at("2028-01-02"), at("2028-12-30")))
    days = [due.astimezone(ZoneInfo(zone)).date() for due in found]
    assert days == [days[0] + timedelta(days=n) for n in range(len(days))]
    assert len(days) >= 362


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", "2026-03-29T01:00"),  # 2:30 is skipped: at the end, 3:00
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", "2026-10-25T00:30"),  # 2:30 comes twice: the first
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30", "2026-10-26T01:30"),
        ("0 0 29 2 *", "UTC", "2026-03-01T00:00", "2028-02-29T00:00"),
        ("0 0 31 * *", "UTC", "2026-01-31T00:00", "2026-03-31T00:00"),
        ("0 0 L * *", "UTC", "2026-02-01T00:00", "2026-02-28T00:00"),
        ("0 3 * * 0", "UTC", "2026-11-26T00:00", "2026-11-29T03:00"),
        ("0 3 * * 7", "UTC", "2026-11-26T00:00", "2026-11-29T03:00"),
        ("0 3 * * SUN", "UTC", "2026-11-26T00:00", "2026-11-29T03:00"),
        ("0 3 13 * 5", "UTC", "2026-11-26T12:00", "2026-11-27T03:00"),  # the 13th, or a Friday
        ("@daily", "America/New_York", "2026-07-01T12:00", "2026-07-02T04:00"),
        ("@Weekly", "UTC", "2026-11-26T00:00", "2026-11-29T00:00"),
        ("*/30 * * * *", "Asia/Kathmandu", "2026-11-26T00:00", "2026-11-26T00:15"),  # 5:45 ahead
    ],
)
def test_the_next_time(expression: str, zone: str, after: str, due: str) -> None:
    assert Cron(expression, zone).next_due(at(after)) == at(due)


def test_the_next_time_is_later_than_the_given_one_in_any_zone() -> None:
    cron = Cron("0 3 * * *")
    assert cron.next_due(at("2026-11-26T03:00")) == at("2026-11-27T03:00")
    assert cron.next_due(datetime(2026, 11, 26, 3, 30, tzinfo=ZoneInfo("Europe/Berlin"))) == at("2026-11-26T03:00")


@pytest.mark.slow
@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe"])
def test_every_half_hour_stays_every_half_hour_when_clocks_change(zone: str) -> None:
    found = list(dues(Cron("*/30 * * * *", zone), at("2026-01-01"), at("2026-12-31")))
    assert {later - earlier for earlier, later in itertools.pairwise(found)} == {timedelta(minutes=30)}


def test_missed_times_are_counted_up_to_many() -> None:
    cron = Cron("*/5 * * * *")
    due = at("2026-11-26T00:00")
    assert cron.missed(due, due - timedelta(seconds=1)) == 0
    assert cron.missed(due, due) == 1
    assert cron.missed(due, due + timedelta(hours=1)) == 13
    assert cron.missed(due, due + timedelta(days=365)) == MAX_COUNTED


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("", "has five fields"),
        ("* * * *", "has five fields"),
        ("0 0 * * * *", "has five fields"),
        ("@reboot", "has five fields"),
        ("61 * * * *", "the minute of the cron expression"),
        ("0 24 * * *", "the hour of the cron expression"),
        ("0 0 * * 8", "the day-of-week of the cron expression"),
        ("0 0 1 foo *", "the month of the cron expression"),
        ("*/0 * * * *", "the minute of the cron expression"),
        ("0 0 31 2 *", "the day-of-month of the cron expression"),
        ("0 0 1 1 * ; rm -rf /", "has five fields"),
        ("0 0 1 1 \x00", "the day-of-week of the cron expression"),
        ("1" * 300, "at most 200 characters"),
    ],
)
def test_what_is_no_expression_is_refused_with_the_field(expression: str, words: str) -> None:
    with pytest.raises(ScheduleError, match=words):
        Cron(expression)


@pytest.mark.parametrize(
    "zone", ["", "Nowhere/Land", "../../etc/passwd", "/etc/localtime", "Europe/Berlin\x00", "x" * 500]
)
def test_what_is_no_zone_is_refused(zone: str) -> None:
    with pytest.raises(ScheduleError, match=r"the time zone must be an IANA name"):
        Cron("@daily", zone)
