"""The whole schema: a table is known once its module is loaded, so whoever compares or migrates it starts here."""

import service.store.regression_tables
import service.store.webhook_tables  # noqa: F401  (that it is loaded is all that is wanted, as of the other)
from service.store.tables import metadata

__all__ = ["metadata"]
