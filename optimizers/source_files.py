"""The source of a class or function of a user's own, as a hash: what tells two versions of it apart."""

import hashlib
import inspect
from pathlib import Path
from typing import Any

from optimizers.errors import RegistrationError

__all__ = ["source_file_hash"]


def source_file_hash(code: Any, what: str) -> str:
    """Return the hash of the file in which a class or function stands, or of itself where that is no file.

    Args:
        code: the class or function.
        what: it is, for the message.

    Raises:
        RegistrationError: the source cannot be read.
    """
    try:
        file = inspect.getsourcefile(code)
        text = Path(file).read_bytes() if file and Path(file).is_file() else inspect.getsource(code).encode()
    except (OSError, TypeError) as error:
        detail = f"the source of {what} must be readable, but it is not: {error}."
        raise RegistrationError(f"{detail} Define it in a file or a notebook.") from error
    return hashlib.sha256(text).hexdigest()[:32]
