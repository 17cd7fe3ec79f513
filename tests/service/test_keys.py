"""The form of keys, the order of scopes, and texts without secrets."""

from hypothesis import given
from hypothesis import strategies as st

from service.keys import Scope, key_id_of, new_key, redacted


def test_a_new_key_has_a_form_that_scanners_find() -> None:
    keys = {new_key() for _ in range(1_000)}
    assert len(keys) == 1_000
    for key in keys:
        key_id = key_id_of(key)
        assert key_id is not None
        assert key.startswith(f"rhb_{key_id}_")
        assert len(key) == 4 + 10 + 1 + 43


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


@given(before=st.text(), after=st.text(alphabet=st.characters(codec="ascii")), cut=st.integers(1, 43))
def test_no_text_holds_a_key_or_a_part_of_its_secret(before: str, after: str, cut: int) -> None:
    key = new_key()
    for secret in (key, key[: len(key) - cut]):
        shown = redacted(f"{before}{secret} {after}")
        assert secret[15:] not in shown or len(secret) - 15 < 8
        assert f"rhb_{key[4:14]}_" in shown, "which key it was is told"


def test_cookies_and_other_bearer_tokens_are_no_less_secret() -> None:
    text = (
        "Authorization: Bearer abc.def-1\nCookie: a=b; rhobust_session=s3cret; c=d 'bearer XYZ' ?k=rhb_0123456789_zz%2D"
    )
    shown = redacted(text)
    assert not any(secret in shown for secret in ("abc.def", "s3cret", "XYZ", "zz"))
    assert "a=b" in shown
    assert "c=d" in shown
    assert redacted("nothing to hide: rhb_ is a prefix") == "nothing to hide: rhb_ is a prefix"
