"""Secrets taken out of a text: the last line of defence of a log, behind code that logs none.

What has the form of a secret goes wherever it stands: our keys, passwords in addresses, and the values of headers,
variables and parameters that are named like secrets. What a process knows to be a secret goes literally too.
"""

import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "***"
MIN_LITERAL = 6  # to mask each "a" of a text would tell that the password is "a", and leave no text
_NAMES = r"password|passwd|passphrase|pwd|secret|token|api[_-]?key|credential|session"
_VALUE = r"""\\"[^"\r\n]*"?|"(?:[^"\\\r\n]|\\.)*"?|'(?:[^'\\\r\n]|\\.)*'?|[^\s"',;&<>()\[\]{}]+"""
_SEPARATOR = r"""\\?["']?\s{0,3}[:=]\s{0,3}"""
# What repeats before something that may fail to come has a bound: a hostile text takes time by its length, no more.
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), shown)
    for pattern, shown in (
        # a key of ours: its id may be shown, and tells which one to revoke
        (r"rhb_([a-z0-9]{1,64})_[\w-]+", rf"rhb_\1_{MASK}"),
        (r"rhb_[\w-]{24,}", f"rhb_{MASK}"),
        # the secret under a webhook's signatures, as Standard Webhooks writes it
        (r"whsec_[\w+/=-]+", f"whsec_{MASK}"),
        # the password of an address; on the web the host ends with a slash, elsewhere a password may hold one
        (r"\b(https?://[^\s:/@]{0,200}):[^\s/@]{1,500}@", rf"\1:{MASK}@"),
        (r"\b((?!https?:)[a-z][a-z0-9+.-]{1,30}://[^\s:/@]{0,200}):[^\s@]{1,500}@", rf"\1:{MASK}@"),
        (r"\b(bearer|basic)\s{1,3}[\w.~+/=-]{16,}", rf"\1 {MASK}"),
        (rf"""\b((?:authorization|cookie){_SEPARATOR}\\?["']?)[^\r\n"'\\]+""", rf"\1{MASK}"),
        (rf"((?:{_NAMES})[\w-]{{0,40}}{_SEPARATOR})(?:{_VALUE})", rf"\1{MASK}"),
    )
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text with a mask in the place of each secret in it.

    Args:
        text: any text, also a hostile one; the time this takes grows with its length alone.
        secrets: known ones, masked wherever they stand, as they are or escaped for an address; those shorter than
            `MIN_LITERAL` characters are masked only where their place tells what they are.
    """
    for secret in secrets:
        if len(secret) >= MIN_LITERAL:
            for form in {secret, quote(secret, safe="")}:
                text = text.replace(form, MASK)
    for pattern, shown in _FORMS:
        text = pattern.sub(shown, text)
    return text
