"""The form of keys, and the order of scopes."""

from service.keys import Scope, key_id_of, new_key
from service.telemetry import redact


def test_a_new_key_has_a_form_that_scanners_find() -> None:
    keys = {new_key() for _ in range(1_000)}
    assert len(keys) == 1_000
    for key in keys:
        key_id = key_id_of(key)
        assert key_id is not None
        assert key.startswith(f"rhb_{key_id}_")
        assert len(key) == 4 + 10 + 1 + 43
        assert redact(f"a {key}, b") == f"a rhb_{key_id}_***, b", "and that logs mask"


def test_a_scope_includes_those_before_it() -> None:
    included = {(one, other) for one in Scope for other in Scope if one.includes(other)}
    assert included == {
        ("read", "read"),
        ("submit", "read"),
        ("submit", "submit"),
        ("admin", "read"),
        ("admin", "submit"),
        ("admin", "admin"),
    }
