"""Lists of a server that are read a page at a time, as far as somebody looks."""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Generic, TypeVar

from service.client.display import html_table

if TYPE_CHECKING:
    import pandas as pd

N_SHOWN = 20
T = TypeVar("T")


class Listing(Generic[T]):
    """Items of a server in its order. Each iteration reads them anew, page by page as they are consumed.

    Args:
        read: starts to read the items.
        columns: names of what a row shows of an item.
        row_of: those values of an item.
    """

    def __init__(
        self, read: Callable[[], Iterator[T]], columns: Sequence[str], row_of: Callable[[T], Sequence[object]]
    ) -> None:
        self._read = read
        self.columns = tuple(columns)
        self.row_of = row_of

    def __iter__(self) -> Iterator[T]:
        return self._read()

    def first(self, n: int) -> list[T]:
        """Return the first items, `n` at most; what comes after them is not read."""
        return list(islice(self, n))

    def to_pandas(self) -> "pd.DataFrame":
        """Return one row an item; all of them are read."""
        import pandas as pd

        return pd.DataFrame([self.row_of(item) for item in self], columns=list(self.columns))

    def _repr_html_(self) -> str:
        """Return the first items for a notebook."""
        found = self.first(N_SHOWN + 1)
        notes = [f"The first {N_SHOWN}; iterate for all."] if len(found) > N_SHOWN else []
        return html_table(self.columns, map(self.row_of, found[:N_SHOWN]), notes=notes)
