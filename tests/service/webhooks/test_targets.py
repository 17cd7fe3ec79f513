"""Where messages may go: a table of what an attacker would try."""

import ipaddress

import pytest
from pydantic import ValidationError

from service.settings import Settings
from service.webhooks.targets import AllowList, Origin, RefusedTargetError

PUBLIC = ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "127.0.0.1", "127.9.9.9", "::1"]
NEVER = [
    "0.0.0.0",  # noqa: S104  (an address to refuse)
    "::",
    "169.254.169.254",  # where a cloud tells secrets
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.1",
    "239.255.255.250",
    "ff02::1",
    "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:808:808::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",  # Teredo
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "192.88.99.1",
    "192.0.0.8",
    "fec0::1",
]
RESERVED = ["255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "2001:db8::1", "100::1"]

ALLOWED = AllowList.parse("hooks.example.com, *.corp.example, http://127.0.0.1:9000, https://private.example:8443")
ANY = AllowList.parse("*")


@pytest.mark.parametrize(
    ("address", "public", "trusted"),
    [
        *[(address, True, True) for address in PUBLIC],
        *[(address, False, True) for address in PRIVATE],
        *[(address, False, False) for address in NEVER],
    ],
)
def test_which_addresses_a_name_may_lead_to(address: str, public: bool, trusted: bool) -> None:
    parsed = ipaddress.ip_address(address)
    assert ALLOWED.target("https://hooks.example.com/").permits(parsed) is public
    assert ALLOWED.target("https://private.example:8443/").permits(parsed) is trusted


@pytest.mark.parametrize("address", RESERVED)
def test_what_is_nobodys_is_not_public(address: str) -> None:
    assert not ALLOWED.target("https://hooks.example.com/").permits(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("https://hooks.example.com", Origin("https", "hooks.example.com", 443), "/"),
        ("https://HOOKS.example.com:443/a?b=c%20d", Origin("https", "hooks.example.com", 443), "/a?b=c%20d"),
        ("https://hooks.example.com./a", Origin("https", "hooks.example.com", 443), "/a"),
        ("https://a.corp.example/x", Origin("https", "a.corp.example", 443), "/x"),
        ("https://a.b.corp.example/x", Origin("https", "a.b.corp.example", 443), "/x"),
        ("http://127.0.0.1:9000/hook", Origin("http", "127.0.0.1", 9000), "/hook"),
        ("https://private.example:8443/", Origin("https", "private.example", 8443), "/"),
    ],
)
def test_what_is_permitted(url: str, origin: Origin, path: str) -> None:
    target = ALLOWED.target(url)
    assert (target.origin, target.path) == (origin, path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://hooks.example.com/", r"only https on port 443 is, unless .* has http://hooks.example.com:80 as an"),
        ("https://hooks.example.com:8443/", "only https on port 443 is"),
        ("http://hooks.example.com:443/", "only https on port 443 is"),
        ("https://corp.example/", "no entry of RHOBUST_WEBHOOK_ALLOW permits https://corp.example:443"),
        ("https://evilcorp.example/", "no entry"),
        ("https://hooks.example.com.evil.example/", "no entry"),
        ("http://127.0.0.1:9001/", "no entry"),
        ("https://127.0.0.1:9000/", "no entry"),
        ("http://localhost:9000/", "no entry"),
        ("http://2130706433:9000/", "no entry"),
        ("http://[::1]:9000/", "no entry"),
        ("https://private.example/", "no entry"),
        ("https://hooks.example.com@evil.example/", "no user, password or fragment"),
        ("https://evil.example#@hooks.example.com/", "no user, password or fragment"),
        ("https://evil.example\\@hooks.example.com/", "no user, password or fragment"),
        ("https://evil.example\\.hooks.example.com/", "its ASCII name"),
        ("https://hooks.example.com%2eevil.example/", "its ASCII name"),
        ("https://*.corp.example/", "its ASCII name"),
        ("https://hooks.example.com:99999/", "cannot be read"),
        ("https://[::1/", "cannot be read"),
        ("https://hooks.exämple.com/", "printable ASCII"),
        ("https://xn--hooks-exmple-com.evil.example/", "no entry"),
        ("https://[fe80::1%25eth0]/", "its ASCII name|cannot be read"),
        ("https://[::ffff:127.0.0.1]:9000/", "no entry"),
        ("https://0x7f.1/", "no entry"),
        ("https://user:password@hooks.example.com/", "no user, password or fragment"),
        ("https://@hooks.example.com/", "no user, password or fragment"),
        ("https://hooks.example.com..evil.example/", "no entry"),
        ("https://hooks.example.com:0/", "only https on port 443 is"),
        ("https:/\\evil.example", "its ASCII name"),
        ("https://hooks.example.com/a b", "printable ASCII"),
        ("https://hooks.exa\tmple.com/", "printable ASCII"),
        ("https://hooks.example.com/\r\nHost: evil", "printable ASCII"),
        ("https://hooks.example.com/\0", "printable ASCII"),
        ("https://hooks.example.com/" + "a" * 2_000, "printable ASCII"),
        ("", "printable ASCII"),
        ("https:///path", "its ASCII name"),
        ("hooks.example.com", "scheme must be https or http"),
        ("//hooks.example.com/", "scheme must be https or http"),
        ("file:///etc/passwd", "scheme must be https or http, but got 'file'"),
        ("gopher://hooks.example.com/", "scheme must be https or http"),
    ],
)
def test_what_is_refused_and_why(url: str, message: str) -> None:
    with pytest.raises(RefusedTargetError, match=message):
        ALLOWED.target(url)


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER, *RESERVED])
def test_an_address_in_a_url_is_refused_at_once(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(RefusedTargetError, match=r"no message is sent to the address|must name a host"):
        ANY.target(f"https://{host}/")


def test_nothing_is_permitted_where_nothing_is_set() -> None:
    nothing = AllowList.parse(" , ")
    assert not nothing
    assert not Settings().webhook_allow
    with pytest.raises(RefusedTargetError, match="webhooks are off here: the operator sets RHOBUST_WEBHOOK_ALLOW"):
        nothing.target("https://hooks.example.com/")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hooks.example.com:8443", "a host name, .* or SCHEME://HOST:PORT, but got 'hooks.example.com:8443'"),
        ("*example.com", "a host name"),
        ("hooks.*.com", "a host name"),
        ("http://127.0.0.1:9000/path", "must end with the port"),
        ("ftp://a.example", "scheme must be"),
        ("https://user@a.example", "no user"),
        ("https://*.example", "its ASCII name"),
    ],
)
def test_an_entry_that_says_nothing_is_an_error_at_the_start(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RHOBUST_WEBHOOK_ALLOW", f"good.example,{text}")
    with pytest.raises(ValidationError, match=message):
        Settings()


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RHOBUST_WEBHOOK_ALLOW", "Hooks.Example.com,http://127.0.0.1:9000")
    allowed = Settings().webhook_allow
    assert allowed.target("https://hooks.example.com/").trusted is False
    assert allowed.target("http://127.0.0.1:9000/a").trusted is True
