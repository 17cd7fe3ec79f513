"""`python -m docs.generate FOLDER` writes all pages into a folder."""

import sys
from pathlib import Path

from docs.generate.staging import stage

if __name__ == "__main__":
    stage(Path(sys.argv[1]))
