"""A Python that runs the blocks of one page, one after another in one namespace, as their reader would at a prompt.

Each line of standard input names a file to run; after each comes a line that says so. What a block defines belongs to
`__main__`, so that Ray sends it to its workers as it does from a script.
"""

import sys
from pathlib import Path

DONE = "\x01done"


def main() -> None:
    """Run files until there are no more, or one fails."""
    namespace = sys.modules["__main__"].__dict__
    for line in sys.stdin:
        path = Path(line.rstrip("\n"))
        namespace["__file__"] = str(path)
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), namespace)  # noqa: S102  (pages of ours)
        sys.stdout.write(f"{DONE}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
