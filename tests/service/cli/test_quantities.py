"""Durations are read and written, and sizes are written, with their units."""

import pytest
import typer

from service.cli.quantities import duration_s, in_words, size_in_words


@pytest.mark.parametrize(
    ("text", "seconds"), [("12h", 43_200), ("90d", 7_776_000), ("2w", 1_209_600), ("0d", 0), ("999999h", 3_599_996_400)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "90", "d", "-1d", "1.5d", "90 d", "90D", "1m", "1d\n", "9999999h", "٣d", "1d2h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"a whole number with h, d or w .* such as 90d, but got"):
        duration_s(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (172_800, "2 d"),
        (7_776_000, "90 d"),
    ],
)
def test_an_age_is_written(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1 KiB"),
        (5 << 20, "5 MiB"),
        (3 << 29, "1.5 GiB"),
        (2 << 40, "2048.0 GiB"),
    ],
)
def test_a_size_is_written(n_bytes: int, words: str) -> None:
    assert size_in_words(n_bytes) == words
