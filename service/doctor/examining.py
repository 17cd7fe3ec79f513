"""All checks, one after another."""

from collections.abc import Iterator

from service.doctor.client import examine_client
from service.doctor.database import examine_database
from service.doctor.findings import Finding
from service.doctor.leftovers import examine_leftovers
from service.doctor.machine import examine_machine
from service.doctor.plugins import examine_plugins
from service.settings import Settings


def examine(settings: Settings, *, clean: bool = False) -> Iterator[Finding]:
    """Yield what every check finds.

    Args:
        settings: whose data folder, database, Ray and server are looked at.
        clean: whether to remove scratch folders that are provably nobody's; nothing else is ever changed.
    """
    yield from examine_machine(settings)
    yield from examine_plugins(settings)
    yield from examine_database(settings)
    yield from examine_client(settings)
    yield from examine_leftovers(clean=clean)
