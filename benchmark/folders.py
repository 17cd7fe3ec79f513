"""Where what is ours lies on a machine, unless a variable of its own says otherwise."""

import os
from pathlib import Path


def data_home() -> Path:
    """Return `rhobust` in `$XDG_DATA_HOME`, or in `~/.local/share`.

    Raises:
        RuntimeError: when that is not set and there is no home.
    """
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "rhobust"
