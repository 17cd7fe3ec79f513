"""Where the files lie, on Debian, from which data is built: a command names them without loading what builds it."""

from pathlib import Path

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
NAMES = Path("/usr/share/unicode/emoji/emoji-test.txt")
