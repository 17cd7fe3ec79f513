"""Numbers read of many records at once are those that are read one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.codec import MAX_INTEGER, Number, pack_numbers
from service.store.decoding import unpack_arrays, unpack_columns, unpack_rows
from tests.service.store.test_codec import NUMBERS, exactly


@given(st.integers(0, 5).flatmap(lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=1)))
def test_what_is_packed_comes_back_with_its_types(rows: list[list[Number]]) -> None:
    found = unpack_rows(list(map(pack_numbers, rows)), len(rows[0]))
    assert [exactly(list(values)) for values in found] == [exactly(values) for values in rows]


def test_every_form_stands_beside_every_other() -> None:
    """In one place of many records: truth values, integers, whole numbers, shares and fractions of both precisions."""
    numbers = [True, False, MAX_INTEGER, -MAX_INTEGER, 0, 1e15, -0.0, 1 / 3, 341 / 1024 + 2**-24, 0.1, 2.5, 1e-300]
    rows: list[list[Number]] = [[number, 0.5] for number in numbers]
    columns = unpack_columns(list(map(pack_numbers, rows)), 2)
    assert [exactly(column) for column in columns] == [exactly(numbers), exactly([0.5] * len(numbers))]
    arrays = unpack_arrays(list(map(pack_numbers, rows)), 2)
    assert [exactly(array.tolist()) for array in arrays] == [exactly(list(map(float, numbers))), exactly(columns[1])]


def test_of_no_records_there_are_no_numbers() -> None:
    assert unpack_columns([], 2) == [[], []]
    assert unpack_rows([], 0) == []


@pytest.mark.parametrize("damaged", [pack_numbers([0.5]), pack_numbers([0.5, 2.0, 1.0])])
def test_a_damaged_record_takes_nothing_from_the_next(damaged: bytes) -> None:
    with pytest.raises(ValueError, match="each record must have 2 numbers"):
        unpack_columns([damaged, pack_numbers([1.0, 2.0]), pack_numbers([3.0, 4.0])], 2)
