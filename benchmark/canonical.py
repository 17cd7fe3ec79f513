"""Canonical numbers, JSON and hashes: what makes two configurations the same."""

import hashlib
import json
import math

SIGNIFICANT_DIGITS = 12
HASH_LENGTH = 32  # hex digits: 128 bits, no collision to be expected below 10^18 keys


def round_significant(value: float) -> float:
    """Return `value` rounded to 12 significant digits.

    The rounded value is the one that is trained, so that a grid written as `log: [0.001, 1]` and one written as
    `values: [...]` meet in the same configuration. There is one zero, without a sign.
    """
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") + 0.0


def canonical_json(document: object) -> str:
    """Return `document` as JSON with sorted keys, no white space and no NaN.

    Floats are written by their shortest round-trip form, integers without a point: the type of a number is part of it.

    Raises:
        ValueError: for NaN or infinity, which JSON cannot hold.
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_hash(document: object) -> str:
    """Return the first 128 bits of the SHA-256 of the canonical JSON, as 32 hex digits."""
    return text_hash(canonical_json(document))


def text_hash(text: str) -> str:
    """Return the first 128 bits of the SHA-256 of a text, as 32 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def finite_or_none(value: float) -> float | None:
    """Return `value`, or None where JSON has no number for it (NaN, infinity)."""
    return value if math.isfinite(value) else None
